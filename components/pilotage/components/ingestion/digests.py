"""The digest of a table's content, which names its snapshot.

It covers names, types and values in order, and neither file format nor how rows
were cut before they were grouped. Files have digests of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pilotage.core.artifacts import ColumnType


class LogicalDigest:
    """SHA-256 over column names, types and values in order, fed with groups as `typed` cuts them.

    Missing values count as missing whatever lies under them; -0.0 is 0.0.
    """

    def __init__(self, types: Mapping[str, ColumnType]) -> None:
        self._hash = hashlib.sha256(b"pilotage snapshot 1\n")
        for name, kind in types.items():
            self._hash.update(f"{len(name.encode())} {name} {kind}\n".encode())

    def update(self, rows: pa.RecordBatch) -> None:
        """Take in the next group."""
        self._hash.update(rows.num_rows.to_bytes(8, "little"))
        for values in rows.columns:
            present = values.is_valid().to_numpy(zero_copy_only=False)
            self._hash.update(np.packbits(present).tobytes())
            for part in _bytes_of(values):
                self._hash.update(part)

    def hexdigest(self) -> str:
        """The digest of all that was taken in."""
        return self._hash.hexdigest()


def _bytes_of(values: pa.Array) -> Iterable[Any]:
    kind = values.type
    if pa.types.is_string(kind):
        text = pa.concat_arrays([pc.fill_null(values, "")])
        lengths: Any = pc.binary_length(text).to_numpy()
        _, offsets, data = text.buffers()
        ends = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1]
        yield lengths.astype("<i4").tobytes()
        if data is not None:
            yield memoryview(data)[int(ends[0]) : int(ends[-1])]
        return
    if pa.types.is_boolean(kind):
        yield np.packbits(pc.fill_null(values, False).to_numpy(zero_copy_only=False)).tobytes()
        return
    if pa.types.is_float64(kind):
        yield (pc.fill_null(values, 0.0).to_numpy() + 0.0).astype("<f8").tobytes()
        return
    whole = values.cast(pa.int32()).cast(pa.int64()) if pa.types.is_date(kind) else values.cast(pa.int64())
    yield pc.fill_null(whole, 0).to_numpy().astype("<i8").tobytes()
