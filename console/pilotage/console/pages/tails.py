"""The end of a file that grows, read once for all who follow it.

Text is given in whole lines while the file may grow, so that no character is
torn; those who are far behind get it in parts of bounded size.
"""

from __future__ import annotations

from pathlib import Path

MOST_BYTES = 64 * 1024
"""Of one part, and of what is kept in memory."""


class Tail:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.kept = b""

    def look(self) -> bool:
        """Read what was appended; whether anything was."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return False
        if size == self.size:
            return False
        if size < self.size:
            self.kept = b""
            begin = 0
        else:
            begin = max(self.size, size - MOST_BYTES)
        appended = self._read(begin, size - begin)
        self.kept = ((self.kept if begin == self.size else b"") + appended)[-MOST_BYTES:]
        self.size = begin + len(appended)
        return True

    def since(self, begin: int, *, whole: bool = True) -> tuple[str, int]:
        """Text from byte `begin` on, and the byte after it; lines that are not ended only unless `whole`."""
        if begin > self.size:
            begin = 0
        kept_from = self.size - len(self.kept)
        if begin >= kept_from:
            content = self.kept[begin - kept_from :]
        else:
            content = self._read(begin, min(MOST_BYTES, self.size - begin))
        if whole or begin + len(content) < self.size:
            content = content[: content.rfind(b"\n") + 1] or (content if len(content) >= MOST_BYTES else b"")
        return content.decode(errors="replace"), begin + len(content)

    def _read(self, begin: int, length: int) -> bytes:
        try:
            with self.path.open("rb") as stream:
                stream.seek(begin)
                return stream.read(length)
        except OSError:
            return b""
