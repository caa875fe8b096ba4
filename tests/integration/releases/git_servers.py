"""Git over HTTP: its own `http-backend` behind a server that checks tokens and plays lost networks."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BACKEND = Path(
    subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip(),
    "git-http-backend",
)
Fault = Callable[[str, str], str]
"""From method and path (with the query) to `""`, `before`, `after`, `half`, or a status such as `503`."""


class GitServer(ThreadingHTTPServer):
    """Serves the repositories below a folder."""

    daemon_threads = True

    def __init__(self, root: Path, token: str = "") -> None:
        self.root, self.token = root, token
        self.fault: Fault = lambda method, path: ""
        self.seen: list[tuple[str, str, str]] = []
        """Method, path and Authorization of each request."""
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that are dropped on purpose are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _answer(self, body: bytes) -> None:
        given = self.headers.get("Authorization", "")
        self.server.seen.append((self.command, self.path, given))
        fault = self.server.fault(self.command, self.path)
        if fault == "before":
            self._drop()
        elif fault.isdecimal():
            self._send(int(fault), {}, b"")
        elif self.server.token and self._password(given) != self.server.token:
            self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        else:
            status, headers, data = self._backend(body)
            if fault == "after":
                self._drop()
            else:
                self._send(status, headers, data, half=fault == "half")

    @staticmethod
    def _password(given: str) -> str:
        kind, _, text = given.partition(" ")
        return base64.b64decode(text).decode().partition(":")[2] if kind == "Basic" else ""

    def _backend(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "somebody",
        }
        done = subprocess.run(
            [BACKEND], input=body, env=environment, capture_output=True, check=True, timeout=60
        )
        head, _, data = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return int(headers.pop("Status", "200").split()[0]), headers, data

    def _send(self, status: int, headers: dict[str, str], data: bytes, *, half: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if half else data)
        if half:
            self._drop()

    def _drop(self) -> None:
        """The network is gone, without a word."""
        self.close_connection = True
        self.connection.shutdown(2)

    def log_message(self, *values: object) -> None:
        """Say nothing."""


@contextmanager
def serving(root: Path, token: str = "") -> Iterator[GitServer]:
    """A server on loopback for the repositories below `root`."""
    server = GitServer(root, token)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def once(stage: str, fault: str) -> Fault:
    """The fault, the first time that a request has `stage` in its path."""
    left = [fault]

    def play(method: str, path: str) -> str:
        return left.pop() if left and stage in path and (method == "POST" or "info/refs" in stage) else ""

    return play


def user_of(given: str) -> str:
    """The user of a Basic Authorization header."""
    return base64.b64decode(given.partition(" ")[2]).decode().partition(":")[0]
