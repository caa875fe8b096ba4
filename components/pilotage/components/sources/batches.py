"""The one form in which every source gives its rows, and the door to all sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa

from pilotage.core.specs import PilotSpec, PythonSource

ROWS = 65_536
"""Most rows of a batch."""


class Texts(StrEnum):
    """What the text of a source may stand for."""

    TEXT = "text"
    """The source has types for numbers and times; text is text."""
    TIMES = "times"
    """The source has no type for times, so text may hold ISO 8601 dates and times."""
    ANYTHING = "anything"
    """The source has only text."""


@dataclass(frozen=True)
class Batch:
    """Some rows in order and where they stood."""

    rows: pa.RecordBatch
    origin: str
    """File, query or function, in words."""
    first: int
    """Number of the first row within the origin, from 1."""
    folder: Path | None = None
    """That paths in the rows are relative to; None where it is not on this machine."""


@dataclass(frozen=True)
class Opened:
    """A source that is being read."""

    description: str
    """Where the rows come from, in words, without secrets."""
    texts: Texts
    open_ended: bool
    """A row may lack columns that others have; a lack is a missing value."""
    batches: Iterator[Batch]


def open_source(spec: PilotSpec, folder: Path) -> Opened:
    """Begin to read the pilot's source.

    Raises:
        SourceError: it cannot be found or opened; also while batches are taken, when it cannot be read.
        Unavailable: the store or the database does not answer.
    """
    source = spec.data.source
    if isinstance(source, str):
        from pilotage.components.sources import files

        return files.open_files(source, folder)
    if isinstance(source, PythonSource):
        from pilotage.components.sources import rows

        return rows.open_function(source, folder)
    from pilotage.components.sources import databases

    return databases.open_query(source, folder)
