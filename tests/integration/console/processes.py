"""A console in a process of its own that can be killed and started again at the same address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

_SCRIPT = """
import sys
from pathlib import Path
import uvicorn
from pilotage.console import applications
from pilotage.console.access import doors
from pilotage.console.operations.desks import Desk
from pilotage.core import settings
desk = Desk(settings.load(home=Path(sys.argv[1])))
app = applications.create(desk, authenticate=doors.authenticate)
class Server(uvicorn.Server):
    def handle_exit(self, sig, frame):
        super().handle_exit(sig, frame)
        app.state.streams.close()
Server(uvicorn.Config(app, port=int(sys.argv[2]), log_level="warning")).run()
"""
_REPOSITORY = Path(__file__).parents[3]


class Console:
    """One console."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(self.home), str(self.port)],
            cwd=_REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
        )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, "the console ended"
            try:
                if httpx.get(f"{self.url}/static/app.js", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the console does not answer")

    def kill(self) -> None:
        """End it without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=20)
