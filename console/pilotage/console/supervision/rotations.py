"""Logs that do not grow without end: a full file becomes `.1`, `.1` becomes `.2`, the last goes."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 10 << 20
KEPT = 3


class RotatingLog:
    """Appends to a file, and begins a new one when it is full."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._kept = kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: BinaryIO = path.open("ab")

    def write(self, content: bytes) -> None:
        """Append whole lines."""
        if self._stream.tell() and self._stream.tell() + len(content) > self._most_bytes:
            self._turn()
        self._stream.write(content)
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()

    def _turn(self) -> None:
        self._stream.close()
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))
        self._stream = self.path.open("ab")

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
