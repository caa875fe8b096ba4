"""Columns of images: files that a table names, or bytes in it, as the text that rows and snapshots have.

A path is relative to the folder of the file that names it (of the pilot, where a database
or a function does), and may not lead out of it. Every image is decoded once, so that
what no model can see is refused with its row, and not in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pilotage.components.sources.batches import Batch
from pilotage.core import errors
from pilotage.core.embeddings import images
from pilotage.core.specs import FeatureKind

ROWS_AT_ONCE = 256
"""Of a batch with images, which are larger than other values."""
_LONGEST_PATH = 1024
_SHOWN = 60


def read(batches: Iterator[Batch], pins: Mapping[str, FeatureKind]) -> Iterator[Batch]:
    """The batches, cut small where they have images, each of which becomes its bytes in base64.

    Raises:
        DataError: see `encoded`.
    """
    wanted = [name for name, kind in pins.items() if kind is FeatureKind.IMAGE]
    for batch in batches:
        if not wanted:
            yield batch
            continue
        for begin in range(0, batch.rows.num_rows, ROWS_AT_ONCE):
            part = replace(batch, rows=batch.rows.slice(begin, ROWS_AT_ONCE), first=batch.first + begin)
            names = part.rows.schema.names
            columns = [
                encoded(name, column, part) if name in wanted else column
                for name, column in zip(names, part.rows.columns, strict=True)
            ]
            yield replace(part, rows=pa.RecordBatch.from_arrays(columns, names=names))


def encoded(name: str, column: pa.Array, batch: Batch) -> pa.Array:
    """The images of a column as base64.

    Raises:
        DataError: one cannot be found, read or decoded, or is outside of the folder; names its row.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    found: list[str | None] = []
    for place, value in enumerate(column.to_pylist()):
        try:
            found.append(_image(value, batch.folder))
        except (images.Unreadable, OSError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise errors.DataError(
                f"Column `{name}` has no image in row {batch.first + place} of {batch.origin}: {why}"
                f" ({_show(value)}).",
                remedy="Give a path below the table's folder, the file's bytes or its base64, or nothing.",
                column=name,
                row=batch.first + place,
            ) from error
    return pa.array(found, pa.large_string())


def _image(value: Any, folder: Path | None) -> str | None:
    if value is None or value in ("", b""):
        return None
    if isinstance(value, str):
        path = _path(value, folder)
        if path is None:
            images.check(value)
            return images.encode(images.decode(value))
        if path.stat().st_size > images.MOST_BYTES:
            raise images.Unreadable(f"it has more than {images.MOST_BYTES:,} bytes")
        value = path.read_bytes()
    if not isinstance(value, bytes):
        raise images.Unreadable(f"{type(value).__name__} is neither text nor bytes")
    if len(value) > images.MOST_BYTES:
        raise images.Unreadable(f"it has more than {images.MOST_BYTES:,} bytes")
    text = images.encode(value)
    images.check(text)
    return text


def _path(value: str, folder: Path | None) -> Path | None:
    """The file that `value` names; None where it is an image in base64."""
    if value.startswith("data:") or len(value) > _LONGEST_PATH:
        return None
    try:
        images.check(value)
    except images.Unreadable:
        pass
    else:
        return None
    if folder is None:
        raise images.Unreadable("paths are read on this machine only, and the table is elsewhere")
    if "\0" in value:
        raise images.Unreadable("a path has no NUL")
    root = folder.resolve()
    path = (root / value).resolve()
    if not path.is_relative_to(root):
        raise images.Unreadable(f"the path leads out of `{folder}`")
    if not path.is_file():
        raise images.Unreadable(f"there is no file `{path}`")
    return path


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
