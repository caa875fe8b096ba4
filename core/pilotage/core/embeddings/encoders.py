"""An encoder that is loaded: from a column of texts or images to a matrix.

Each process loads an encoder once, whatever number of versions answers with it, and
lets it go with the last of them. Each text goes through the graph by itself: padding and
the neighbours of a batch would change the last digits of its vector.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from pilotage.core import errors
from pilotage.core.artifacts import TextEncoder
from pilotage.core.embeddings import folders, images, texts
from pilotage.core.embeddings.folders import Encoder
from pilotage.core.embeddings.memories import Memory, Vector, key
from pilotage.core.settings import Settings

_BLOCK = 256
"""Texts that are computed before their vectors are kept."""
_ERROR = 3
"""onnxruntime's level for messages."""

_places: dict[str, Path] = {}
_opened: WeakValueDictionary[str, Embedding] = WeakValueDictionary()
_opening = threading.Lock()
_no_memory: ContextVar[bool] = ContextVar("no_memory", default=False)


@contextmanager
def uncached() -> Iterator[None]:
    """Compute every vector anew, as for texts that were never seen; for measuring."""
    token = _no_memory.set(True)
    try:
        yield
    finally:
        _no_memory.reset(token)


class Embedding:
    """One encoder, ready for any number of threads."""

    def __init__(self, digest: str, folder: Path) -> None:
        """Load the encoder in `folder`, as `folders.fetch` gives it.

        Raises:
            MissingExtra: a package that it needs is not installed.
            DataError: onnxruntime cannot run it.
        """
        self.about: Encoder = folders.describe(folder)
        self.width = self.about.width
        self.digest = digest
        self._memory = Memory(digest, self.width)
        self._session = session((folder / folders.GRAPH).read_bytes())
        self._read: Any = (
            texts.Reader(self.about, folder / folders.TOKENIZER)
            if isinstance(self.about, TextEncoder)
            else images.Reader(self.about)
        )

    def vectors(self, values: npt.NDArray[Any], threads: int = 1) -> npt.NDArray[np.float64]:
        """One row for each of `values`, shape `(n, width)`; zeros for what is missing or empty.

        Args:
            values: texts, or images in base64; None where missing.
            threads: that compute what is not known yet.
        """
        given = [value if value is None or self._read.says(value) else None for value in values.tolist()]
        keys = [None if value is None else key(value) for value in given]
        wanted: dict[Any, Any] = dict(zip(keys, given, strict=True))
        wanted.pop(None, None)
        known = {} if _no_memory.get() else self._memory.find(list(wanted))
        missing = [one for one in wanted if one not in known]
        for begin in range(0, len(missing), _BLOCK):
            part = missing[begin : begin + _BLOCK]
            made = dict(zip(part, self._computed([wanted[one] for one in part], threads), strict=True))
            if not _no_memory.get():
                self._memory.add(made)
            known |= made
        found = np.zeros((len(given), self.width))
        for place, one in enumerate(keys):
            if one is not None:
                found[place] = known[one]
        return found

    def _computed(self, values: list[str], threads: int) -> Iterable[Vector]:
        if threads <= 1 or len(values) < threads:
            return [self._vector(value) for value in values]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._vector, values))

    def _vector(self, value: str) -> Vector:
        found = self._session.run(None, self._read.feed(value))[0]
        vector: Vector = np.asarray(found, dtype=np.float32).reshape(-1)
        if vector.size != self.width:
            raise errors.DataError(
                f"The encoder gives {vector.size} numbers, its description says {self.width}.",
                remedy="Train the pilot again.",
            )
        return vector

    def cut(self, values: npt.NDArray[Any]) -> int:
        """How many of `values` are longer than what the encoder reads; 0 for images."""
        return sum(self._read.is_cut(value) for value in values.tolist() if value is not None)


def session(graph: bytes) -> Any:
    """An onnxruntime session on the calling thread.

    Raises:
        DataError: it cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise errors.DataError(
            f"onnxruntime cannot load the encoder's graph: {error}.",
            remedy="Export it anew as one file, with its weights inside.",
        ) from error


def open_all(digests: Iterable[str], settings: Settings) -> tuple[Embedding, ...]:
    """The encoders with these digests, fetched where they are not here yet.

    Raises:
        NotFound: the storage does not hold one.
        UntrustedModel: a file of one was changed.
        MissingExtra: a package that one needs is not installed.
    """
    found = []
    for digest in digests:
        if digest not in _opened:
            _places[digest] = folders.fetch(settings, digest)
        found.append(embedding(digest))
    return tuple(found)


def embedding(digest: str) -> Embedding:
    """The encoder with this digest, which `open_all` found before in this process.

    Raises:
        NotFound: it did not.
    """
    with _opening:
        found = _opened.get(digest)
        if found is None:
            if digest not in _places:
                raise errors.NotFound(
                    f"Encoder {digest[:12]} was not opened.", remedy="Load the model with its settings."
                )
            found = _opened[digest] = Embedding(digest, _places[digest])
    return found
