"""The access log: one JSON line a request, written beside the requests and never in their way.

A request leaves a tuple on a bounded queue; a thread writes what is there a few times a
second. When the thread cannot keep up, because a disk or whoever reads stderr is slow,
lines are dropped, counted, and the log says how many. Bodies, query strings, headers and
tokens are not logged. Several processes may write to one file: lines are appended whole.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import orjson

from pilotage.core import errors
from pilotage.core.settings import AccessLogPolicy, Settings

logger = logging.getLogger(__name__)

MOST_WAITING = 20_000
"""Lines that wait to be written; more are dropped."""
WRITE_SECONDS = 0.25
CLOSE_SECONDS = 2.0
"""How long a stop waits for the last lines."""
_LONGEST_PATH = 200
_GIVEN = re.compile(rb"[\x21-\x7e]{1,128}")
_PREFIX = secrets.token_hex(6).encode()
_NUMBERS = itertools.count(1)


def request_id(header: bytes | None) -> bytes:
    """The id of a request: what its `X-Request-Id` says, or a new one.

    A header that is longer than 128 characters, or has any that is not printable ASCII, is
    replaced: it goes into logs and back to the client.
    """
    if header is not None and _GIVEN.fullmatch(header):
        return header
    return b"%b-%x" % (_PREFIX, next(_NUMBERS))


class _Line(NamedTuple):
    at: float
    method: str
    path: str
    status: int
    seconds: float
    request_id: str | bytes
    rows: int | None
    version: int | None
    principal: str | None
    trace: str | None


class AccessLog:
    """Writes a line for each request, or for each that was not answered well."""

    def __init__(
        self,
        policy: AccessLogPolicy,
        path: Path | None = None,
        on_drop: Callable[[int], None] = lambda lines: None,
    ) -> None:
        """Begin to write to `path`, or to stderr; `on_drop` is told how many lines were not written.

        Raises:
            SettingsError: the file cannot be written.
        """
        self.dropped = 0
        """Lines that were not written."""
        self.least = 0 if policy is AccessLogPolicy.ALL else 400
        """The lowest status that has a line."""
        self._lines: deque[_Line] = deque()
        self._told = 0
        self._on_drop = on_drop
        self._stopped = threading.Event()
        self._sink = _Stream() if path is None else _File(path)
        self._thread = threading.Thread(target=self._run, name="accesses", daemon=True)
        self._thread.start()

    def note(
        self,
        method: str,
        path: str,
        status: int,
        seconds: float,
        request_id: str | bytes,
        rows: int | None = None,
        version: int | None = None,
        principal: str | None = None,
        trace: str | None = None,
    ) -> None:
        """Leave a line for a request that was answered; never blocks, safe in any thread.

        Args:
            method: of the request.
            path: of the request; what is after a `?` is left out.
            status: of the answer.
            seconds: from the request's head to its answer.
            request_id: see `request_id`.
            rows: that were predicted.
            version: that answered.
            principal: name of the token or subject, never the token.
            trace: id of the request's trace.
        """
        if status < self.least:
            return
        if len(self._lines) >= MOST_WAITING:
            self._drop(1)
            return
        self._lines.append(
            _Line(time.time(), method, path, status, seconds, request_id, rows, version, principal, trace)
        )

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._on_drop(lines)

    def close(self) -> None:
        """Write what is left, as far as that takes no longer than `CLOSE_SECONDS`."""
        self._stopped.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(WRITE_SECONDS):
            self._write()
        self._write()
        self._sink.close()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        dropped = self.dropped
        data = b"".join(_json(line) for line in lines)
        if dropped != self._told:
            data += orjson.dumps({"dropped": dropped - self._told}, option=orjson.OPT_APPEND_NEWLINE)
            self._told = dropped
        if not data:
            return
        try:
            self._sink.write(data)
        except (OSError, ValueError) as error:
            self._drop(len(lines))
            logger.warning("%d lines of the access log could not be written: %s", len(lines), error)


def _json(line: _Line) -> bytes:
    document: dict[str, object] = {
        "time": datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds"),
        "method": line.method[:20],
        "path": line.path.partition("?")[0][:_LONGEST_PATH],
        "status": line.status,
        "ms": round(line.seconds * 1000, 3),
        "request_id": line.request_id.decode("ascii", "replace")
        if isinstance(line.request_id, bytes)
        else line.request_id,
    }
    for name in ("rows", "version", "principal", "trace"):
        value = getattr(line, name)
        if value is not None:
            document[name] = value
    try:
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # text that is no Unicode
        safe = {name: ascii(value) if isinstance(value, str) else value for name, value in document.items()}
        return orjson.dumps(safe, option=orjson.OPT_APPEND_NEWLINE)


class _Stream:
    """Standard error, below Python's own buffer."""

    def write(self, data: bytes) -> None:
        _write_all(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, data)

    def close(self) -> None:
        """It is not ours."""


class _File:
    """A file that may be moved away, as those do who rotate logs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._open()
        except OSError as error:
            raise errors.SettingsError(
                f"PILOTAGE_ACCESS_LOG_FILE: {path} cannot be written: {error.strerror}.",
                remedy="Name a file in a folder that the server may write to, or leave it out for stderr.",
                path=str(path),
            ) from error

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def write(self, data: bytes) -> None:
        if self._moved():
            os.close(self._handle)
            self._handle = -1
        if self._handle < 0:
            self._handle = self._open()
        _write_all(self._handle, data)

    def _moved(self) -> bool:
        if self._handle < 0:
            return False
        ours = os.fstat(self._handle)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def check(settings: Settings) -> None:
    """See that the file of the log that is asked for can be written.

    Raises:
        SettingsError: it cannot.
    """
    if settings.access_log is not AccessLogPolicy.OFF and settings.access_log_file is not None:
        _File(settings.access_log_file).close()


def access_log(settings: Settings, on_drop: Callable[[int], None] = lambda lines: None) -> AccessLog | None:
    """The log that the settings ask for; None when they ask for none. See `AccessLog` for `on_drop`.

    Raises:
        SettingsError: the file cannot be written.
    """
    if settings.access_log is AccessLogPolicy.OFF:
        return None
    return AccessLog(settings.access_log, settings.access_log_file, on_drop)
