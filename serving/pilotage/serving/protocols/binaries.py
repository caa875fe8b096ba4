"""The Open Inference Protocol's binary layout of a tensor, and arrays made of it and written in it.

The layout is that of the binary tensor data extension and of gRPC's raw contents:
values one after the other in row-major order, little-endian; each element of BYTES
after its length in four bytes (https://github.com/kserve/open-inference-protocol).
Sizes are compared with the shape before anything is allocated. Which feature a
tensor belongs to is not known here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors

Array = npt.NDArray[Any]

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
}
"""How numpy holds each datatype but BYTES."""
BYTES = "BYTES"

_LENGTH = struct.Struct("<I")


def read(name: str, datatype: str, rows: int, raw: bytes | memoryview) -> Array | list[str | None]:
    """The values of a tensor of `rows` values: an array, or for BYTES a list of text.

    An empty element of BYTES, which is all that the layout has for it, is a missing value: None.

    Raises:
        RequestError: the size is not what the shape says, or a value is not of the datatype.
    """
    if datatype == BYTES:
        return _texts(name, rows, bytes(raw))
    dtype = DTYPES[datatype]
    if len(raw) != rows * dtype.itemsize:
        raise errors.RequestError(
            f"Input `{name}` has {len(raw)} bytes of data, expected {rows * dtype.itemsize}:"
            f" {rows} {datatype} by its shape.",
            tensor=name,
        )
    values = np.frombuffer(raw, dtype)
    return _booleans(name, values) if datatype == "BOOL" else values


def _booleans(name: str, values: Array) -> Array:
    wrong = values > 1
    if wrong.any():
        row = int(wrong.argmax())
        raise errors.RequestError(
            f"Row {row}: input `{name}` is the byte {int(values[row])}, expected 0 or 1 for BOOL.",
            row=row,
            tensor=name,
        )
    return values.view(np.bool_)


def _texts(name: str, rows: int, raw: bytes) -> list[str | None]:
    values: list[str | None] = []
    size, at = len(raw), 0
    for row in range(rows):
        begin = at + 4
        at = begin + (_LENGTH.unpack_from(raw, at)[0] if begin <= size else 0)
        if max(begin, at) > size:
            raise errors.RequestError(
                f"Row {row}: input `{name}` ends after {size} bytes, inside this element or before it.",
                remedy="Send each element of BYTES after its length in four bytes, little-endian.",
                row=row,
                tensor=name,
            )
        values.append(text(name, row, raw[begin:at]))
    if at != size:
        raise errors.RequestError(
            f"Input `{name}` has {size - at} bytes more than its {rows} elements take.", tensor=name
        )
    return values


def text(name: str, row: int, element: bytes) -> str | None:
    """An element of BYTES as text; None when it is empty.

    Raises:
        RequestError: it is not UTF-8.
    """
    try:
        return element.decode() or None
    except UnicodeDecodeError as error:
        raise errors.RequestError(
            f"Row {row}: input `{name}` is not UTF-8: {error.reason} at byte {error.start}.",
            row=row,
            tensor=name,
        ) from None


def write(datatype: str, values: Array) -> bytes:
    """Values in the layout of `datatype`."""
    if datatype == BYTES:
        return _packed(str(value).encode() for value in values.ravel().tolist())
    return values.astype(DTYPES[datatype]).tobytes()


def _packed(elements: Iterable[bytes]) -> bytes:
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))
