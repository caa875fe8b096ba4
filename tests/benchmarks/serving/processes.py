"""A server as a process tree: started, waited for, frozen while others are measured, weighed, ended.

A frozen server keeps its memory and sockets and takes no processor time.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_START_SECONDS = 120
_STOP_SECONDS = 10


@dataclass
class Server:
    """One running server."""

    process: subprocess.Popen[bytes]
    port: int
    path: str
    headers: dict[str, str]
    log: Path
    cold_seconds: float = 0.0
    """From the start of the process to its first right answer."""
    _frozen: list[psutil.Process] = field(default_factory=list)

    def tree(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory_mb(self) -> float:
        """Proportional set size of the tree: what is shared is counted once."""
        total = 0
        for member in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_full_info().pss
        return total / 2**20

    def threads(self) -> int:
        """Of the tree."""
        return sum(member.num_threads() for member in self.tree())

    def descriptors(self) -> int:
        """Open files and sockets of the tree."""
        return sum(member.num_fds() for member in self.tree())

    def freeze(self) -> None:
        """Stop the tree where it is."""
        self._frozen = self.tree()
        for member in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.suspend()

    def thaw(self) -> None:
        """Let the tree go on, children first."""
        for member in reversed(self._frozen):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.resume()
        self._frozen = []

    def ask(self, body: bytes, timeout: float = 30.0) -> tuple[int, bytes]:
        """Status and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", self.path, body, self.headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End the tree: politely, then not."""
        self.thaw()
        members = self.tree()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_SECONDS)
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait(_STOP_SECONDS)

    def _await_answer(self, body: bytes, began: float) -> None:
        answer: object = "none"
        while time.perf_counter() - began < _START_SECONDS:
            if self.process.poll() is not None:
                answer = f"exit code {self.process.returncode}"
                break
            try:
                answer = self.ask(body)
            except OSError:
                answer = "no connection"
            except http.client.HTTPException as error:
                answer = error
            if isinstance(answer, tuple) and answer[0] == 200:
                self.cold_seconds = time.perf_counter() - began
                return
            time.sleep(0.005)
        raise RuntimeError(f"{self.process.args!r} did not answer: {answer}\n{self.log.read_text()[-3000:]}")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    command: list[str],
    variables: dict[str, str],
    folder: Path,
    port: int,
    path: str,
    headers: dict[str, str],
    body: bytes,
) -> Server:
    """Start a server in `folder` and wait for its first right answer to `body`.

    Raises:
        RuntimeError: it ended, or did not answer in time; with the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    began = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    server = Server(process, port, path, headers, log)
    try:
        server._await_answer(body, began)
    except BaseException:
        server.stop()
        raise
    return server


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Stop the server at the end."""
    try:
        yield server
    finally:
        server.stop()
