"""The script of `helm test`, run as its pod runs it, against a server that answers as ours does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.charts import cases, rendering


class Server(ThreadingHTTPServer):
    """Serves version 7 of flight-delay, to those with a token if one is set."""

    version = 7
    token = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer({"versions": [{"model": "flight-delay", "version": self.server.version}]})

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
        if self.server.token and self.headers.get("authorization") != f"Bearer {self.server.token}":
            self._answer({"detail": "This server asks for a bearer token."}, 401)
        else:
            self._answer({"version": self.server.version, "predictions": [0.5] * len(rows)})

    def _answer(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as it is called
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def asked(folder: Path, server: Server, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the pod with the files of its ConfigMap."""
    values = next(one for one in cases.of("model") if one.name == "everything").values
    found = rendering.render("model", values)
    files = next(one for one in found if one["kind"] == "ConfigMap" and "ask.py" in one["data"])["data"]
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (container,) = next(one for one in found if one["kind"] == "Pod")["spec"]["containers"]
    assert container["command"][0] == "python3"
    words = [*container["command"][1:], *container["args"]]
    words = [word.replace("/etc/pilotage/test", str(folder)) for word in words]
    words = [server.address if word.startswith("http://flight-delay.") else word for word in words]
    assert server.address in words
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=30, check=False, env=variables
    )


def test_the_pinned_version_predicts(server: Server, tmp_path: Path):
    server.token = "shown-once"
    found = asked(tmp_path, server, TOKEN="shown-once")
    assert (found.returncode, found.stdout) == (0, "version 7 of flight-delay is ready and answered 1 rows\n")


def test_another_version_fails(server: Server, tmp_path: Path):
    server.version = 6
    found = asked(tmp_path, server)
    assert found.returncode == 1
    assert "version 7 of flight-delay is not served, but [('flight-delay', '6')]" in found.stderr


def test_a_prediction_that_is_refused_fails(server: Server, tmp_path: Path):
    server.token = "shown-once"
    found = asked(tmp_path, server, TOKEN="other")
    assert found.returncode == 1
    assert "answered 401" in found.stderr
