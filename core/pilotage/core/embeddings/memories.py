"""Vectors that were computed before: a few in memory, and on disk those of trainings.

A vector is found by the SHA-256 of its text or image, which is not kept. Servers
write nothing to disk. A file that cannot be used is an empty one.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]
MOST_KEPT = 4096
"""Vectors of one encoder in memory: 6 MB of 384 numbers each."""
_AT_ONCE = 500
"""Keys of a question to SQLite."""
_PATIENCE_SECONDS = 30.0

_place: Path | None = None


def remember(folder: Path | None) -> None:
    """From now on, keep vectors of this process in `folder`, or nowhere; for steps of a pipeline."""
    global _place
    _place = folder


def key(value: str) -> bytes:
    """What a vector is found by."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


class Memory:
    """The vectors of one encoder; for several threads."""

    def __init__(self, digest: str, width: int) -> None:
        self._digest, self._width = digest, width
        self._recent: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Those of `keys` that are known."""
        found: dict[bytes, Vector] = {}
        with self._lock:
            for one in keys:
                vector = self._recent.get(one)
                if vector is not None:
                    self._recent.move_to_end(one)
                    found[one] = vector
        missing = [one for one in keys if one not in found]
        if missing and _place is not None:
            stored = self._read(_place, missing)
            self._keep(stored)
            found |= stored
        return found

    def add(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep what was computed."""
        self._keep(vectors)
        if vectors and _place is not None:
            self._write(_place, vectors)

    def _keep(self, vectors: Mapping[bytes, Vector]) -> None:
        with self._lock:
            self._recent.update(vectors)
            while len(self._recent) > MOST_KEPT:
                self._recent.popitem(last=False)

    def _open(self, folder: Path) -> sqlite3.Connection:
        folder.mkdir(parents=True, exist_ok=True)
        opened = sqlite3.connect(folder / f"{self._digest}.db", timeout=_PATIENCE_SECONDS)
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("PRAGMA synchronous=NORMAL")
        opened.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        return opened

    def _read(self, folder: Path, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        found: dict[bytes, Vector] = {}
        try:
            with closing(self._open(folder)) as opened:
                for begin in range(0, len(keys), _AT_ONCE):
                    part = keys[begin : begin + _AT_ONCE]
                    marks = ", ".join("?" * len(part))
                    rows = opened.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)  # noqa: S608 - marks only
                    found |= {one: np.frombuffer(data, dtype=np.float32) for one, data in rows}
        except sqlite3.Error as error:
            logger.warning("vectors that were kept in `%s` cannot be read: %s", folder, error)
            return {}
        return {one: vector for one, vector in found.items() if vector.size == self._width}

    def _write(self, folder: Path, vectors: Mapping[bytes, Vector]) -> None:
        rows = [(one, vector.astype(np.float32).tobytes()) for one, vector in vectors.items()]
        try:
            with closing(self._open(folder)) as opened, opened:
                opened.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            logger.warning("vectors cannot be kept in `%s`: %s", folder, error)
