"""A real PostgreSQL for the tests: one server a session, one database a test, copied from a template."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pilotage.core import settings
from pilotage.pipelines import tables

_PR_SET_PDEATHSIG = 1
_UNPRIVILEGED = ("postgres", "nobody")
_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
}


def programs() -> Path | None:
    """The folder with PostgreSQL's programs."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    return next((path for path in versions if (path / "initdb").is_file()), None)


class Server:
    """A PostgreSQL server on loopback, in a temporary folder, without a password."""

    def __init__(self, programs: Path) -> None:
        # Not in pytest's temporary folder, which another user than root may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="pilotage-postgresql-"))
        data = self._folder / "data"
        user = _unprivileged()
        if user is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        owner: dict[str, Any] = (
            {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        )
        create = ["-D", str(data), "-U", "pilotage", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [programs / "initdb", *create], check=True, capture_output=True, cwd=self._folder, **owner
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(self._port), "-k", self._folder, *options],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            preexec_fn=_end_with_parent,
            **owner,
        )
        self._admin = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._wait()
        self._execute("CREATE DATABASE template")
        tables.connect(settings.load(database_url=self.url("template"))).dispose()

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://pilotage@127.0.0.1:{self._port}/{database}"

    def create(self, *, empty: bool = False) -> str:
        """The URL of a new database with all tables; without any if `empty`."""
        name = f"test_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}" + ("" if empty else " TEMPLATE template"))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def stop(self) -> None:
        """End the server and remove its files."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self._execute("SELECT 1")
                return
            except Exception:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))


def _end_with_parent() -> None:
    """Let Linux stop the server when the tests are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run as, since PostgreSQL refuses to run as root; None where this is not root."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root, and there is no user of {_UNPRIVILEGED}")
