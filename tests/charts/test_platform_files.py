"""The scripts that charts/pilotage carries, run for real: PostgreSQL's users, and what `helm test` asks."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from tests.charts.rendering import CHARTS
from tests.databases import Server, programs

FILES = CHARTS / "pilotage" / "files"


def ask(url: str, statement: str) -> object:
    """One value from a database."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar()


def test_the_console_and_mlflow_have_databases_that_the_other_cannot_open(
    postgresql: Server, tmp_path: Path
) -> None:
    """The image's entry point runs the script once, as the owner of the server; so does this."""
    passwords = tmp_path / "passwords"
    passwords.mkdir()
    (passwords / "mlflow").write_text('it\'s a "password" with $everything')
    script = tmp_path / "databases.sh"
    source = (FILES / "databases.sh").read_text(encoding="utf-8")
    script.write_text(source.replace("/etc/pilotage/passwords", str(passwords)), encoding="utf-8")
    found = programs()
    assert found is not None
    url = postgresql.create(empty=True)
    port, database = url.rpartition(":")[2].split("/")
    path = os.pathsep.join([str(found), "/usr/bin", "/bin"])
    environment = {"PATH": path, "POSTGRES_USER": "pilotage", "POSTGRES_DB": database}
    subprocess.run(
        [shutil.which("sh") or "sh", script],
        env={**environment, "PGHOST": "127.0.0.1", "PGPORT": port},
        check=True,
    )
    theirs = f"postgresql+psycopg://mlflow@127.0.0.1:{port}"
    try:
        assert ask(f"{theirs}/mlflow", "SELECT current_user") == "mlflow"
        assert ask(url, "SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'mlflow'") is True
        for closed in (database, "postgres"):
            with pytest.raises(OperationalError, match="permission denied"):
                ask(f"{theirs}/{closed}", "SELECT 1")
    finally:
        postgresql.drop(f"{theirs}/mlflow")
        postgresql.drop(url)
        engine = create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text("GRANT CONNECT ON DATABASE postgres TO PUBLIC"))
            connection.execute(text("DROP ROLE mlflow"))


@contextmanager
def answering(*statuses: int) -> Iterator[str]:
    """A server that answers with these, the last again and again; its URL."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.end_headers()
            self.wfile.write(b"so it is")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_test_waits_for_what_is_not_ready_yet_and_tells_what_never_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(FILES / "ask.py"))
    monkeypatch.setattr(script["time"], "sleep", lambda _: None)
    with answering(503, 503, 200) as console, answering(200) as mlflow:
        assert script["main"]([console, mlflow]) == 0
    assert capsys.readouterr().out == f"{console}: ready\n{mlflow}: ready\n"
    with answering(503) as console:
        assert script["main"]([console]) == 1
        assert "status 503: so it is" in capsys.readouterr().out
    assert script["main"]([console]) == 1, "nobody answers there any more"
