"""The whole API against random requests by every role: no 5xx, and what is described is what is sent."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from sqlalchemy import select
from tests.unit.console.browsers import add_user
from tests.unit.console.desks import actor

from pilotage.console import applications
from pilotage.console.access import doors
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.operations import pilots
from pilotage.console.operations.access import tokens
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs
from pilotage.core import settings
from pilotage.pipelines import tables

PILOT = "version: 1\npilot: small\ndata:\n  source: data.csv\n  target: y\ngoal:\n  metric: roc_auc\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """An installation with a pilot and a run that waits."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "pilot.yaml").write_text(PILOT)
    (folder / "data.csv").write_text("a,b,y\n1,2,0\n2,3,1\n")
    found = Desk(settings.load(home=tmp_path_factory.mktemp("home")))
    pilots.add_pilot(found, actor(), folder)
    runs.start_run(found, actor(), "small")
    return found


@pytest.fixture(scope="module")
def url(desk: Desk) -> Iterator[str]:
    """The console of it, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = applications.create(desk, doors.authenticate)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def changes(desk: Desk) -> list[str]:
    """Everything but when tokens were used and keys of repeats."""
    left_out = (tables.idempotency_keys, tables.tokens)
    with desk.engine.connect() as connection:
        return [
            str(row)
            for table in tables.metadata.sorted_tables
            if table not in left_out
            for row in connection.execute(select(table))
        ]


@pytest.mark.slow
@pytest.mark.parametrize("role", list(Role))
def test_schemathesis_finds_nothing(desk: Desk, url: str, tmp_path: Path, role: Role) -> None:
    add_user(desk, str(role), Grant(ALL, role), password=None)
    token = tokens.make_token(desk, actor(), "fuzz", [Grant(ALL, role)], 1, user=str(role)).secret
    before = changes(desk)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{url}/api/v1/openapi.json",
            f"--header=Authorization: Bearer {token}",
            "--exclude-path=/api/v1/tokens/{token}",  # it learns of its own and ends itself
            f"--phases={'coverage,fuzzing' if role is Role.ADMIN else 'fuzzing'}",
            "--max-examples=3",
            f"--max-time={20 if role is Role.ADMIN else 8}",
            "--seed=1",
            "--continue-on-failure",
            "--warnings=off",
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-8000:]
    assert "No issues found" in result.stdout
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        me = client.get("/api/v1/me").json()
        assert me.get("name") == role, (me, result.stdout[-3000:])
    if role is Role.VIEWER:
        assert changes(desk) == before
