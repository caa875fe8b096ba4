"""The time slices that a pilot served: which files hold each, whether it is closed, and its merged window.

A slice is closed once traffic of a later slice that has begun was seen, or once nothing was added for
longer than a window; more that comes afterwards opens the question again, for the
evidence has changed.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pilotage.core import errors, samples, window_files, windows
from pilotage.core.storage import Storage
from pilotage.core.window_files import Opened
from pilotage.core.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)


@dataclass
class Slice:
    """The files of one version in one time slice."""

    pilot: str
    version: int
    start: datetime
    windows: list[str] = field(default_factory=list)
    """Names of the replicas' windows, sorted."""
    rows: list[str] = field(default_factory=list)
    """Names of the row log's segments, sorted."""
    samples: list[str] = field(default_factory=list)
    """Names of the replicas' samples of rows with features, sorted."""

    @property
    def folder(self) -> str:
        """Where the report on this slice is kept."""
        return windows.reports_folder(self.pilot, self.version, self.start)

    def stamp(self, stamps: Mapping[str, str]) -> str:
        """A digest that changes when one of the files does, from `Storage.stamps`."""
        text = "\n".join(f"{name} {stamps[name]}" for name in (*self.windows, *self.rows, *self.samples))
        return hashlib.sha256(text.encode()).hexdigest()


def pilot_folder(pilot: str) -> str:
    """Folder in the storage of all that was served and found for a pilot."""
    return windows.folder(pilot, 0).rsplit("/", 1)[0]


def find(pilot: str, names: Iterable[str]) -> list[Slice]:
    """The slices among file `names` of the storage, by time and version."""
    prefix = pilot_folder(pilot) + "/"
    found: dict[str, Slice | None] = {}
    for name in sorted(names):
        folder, _, file = name.rpartition("/")
        if folder not in found:
            found[folder] = _slice(pilot, folder.removeprefix(prefix)) if name.startswith(prefix) else None
        held = found[folder]
        if held is None:
            continue
        if file.startswith("window-") and file.endswith(windows.WINDOW_SUFFIX):
            held.windows.append(name)
        elif file.startswith("rows-") and file.endswith(".parquet"):
            held.rows.append(name)
        elif file.startswith("sample-") and file.endswith(".parquet"):
            held.samples.append(name)
    pieces = [piece for piece in found.values() if piece and piece.windows]
    return sorted(pieces, key=lambda piece: (piece.start, piece.version))


def _slice(pilot: str, folder: str) -> Slice | None:
    """The slice that a version's folder below the pilot's is of; None when it is of none."""
    version, _, start = folder.partition("/")
    try:
        time = datetime.strptime(start, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return Slice(pilot, int(version), time) if version.isdecimal() else None


def read(storage: Storage, piece: Slice) -> Window | None:
    """The replicas' windows of a slice together; None when none can be read."""
    return merged(storage, [piece])


def merged(storage: Storage, pieces: Sequence[Slice]) -> Window | None:
    """All windows of several slices of one version together; None when none can be read.

    Files that are not windows are left out and named. Thousands of windows are summed as arrays.
    """
    files = _opened(storage, [name for piece in pieces for name in piece.windows])
    first = next(files, None)
    if first is None:
        return None
    try:
        return window_files.total(itertools.chain([first], files))
    except ValueError as error:
        logger.warning("%s and are left out, in %s", error, storage.location(pieces[0].folder))
        return None


def _opened(storage: Storage, names: Sequence[str]) -> Iterator[Opened]:
    """The files that are windows."""
    for name, data in zip(names, storage.read_all(names), strict=True):
        if data is None:
            continue
        try:
            yield window_files.opened(data)
        except errors.DataError as error:
            logger.warning("%s is not a window to be read and is left out: %s", storage.location(name), error)


def read_sample(storage: Storage, piece: Slice, rows: int) -> pa.Table | None:
    """At most `rows` served rows with their features, drawn at random from all that the slice served.

    Laid out as `pilotage.core.samples` says; None when there is none that can be read. Whichever
    replica answered, each row had the same chance.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = []
    for name, data in zip(piece.samples, storage.read_all(piece.samples), strict=True):
        if data is None:
            continue
        try:
            found = pq.read_table(pa.BufferReader(data))
        except pa.ArrowException:
            found = None
        if found is None or not {"priority", "features"} <= {*found.column_names}:
            logger.warning("%s is not a sample of rows and is left out", storage.location(name))
        else:
            held.append(found)
    try:
        return samples.smallest(held, rows) if held else None
    except pa.ArrowException as error:
        logger.warning("the samples in %s do not go together: %s", storage.location(piece.folder), error)
        return None


def latest_begun(pieces: Sequence[Slice], now: datetime) -> datetime:
    """Start of the latest of `pieces` (by time, not empty) that the clock has reached.

    A row dated ahead of the clock does not show that the time before it has passed.
    """
    begun = [piece.start for piece in pieces if piece.start <= now]
    return begun[-1] if begun else pieces[0].start


def is_closed(window: Window, latest: datetime, now: datetime, length: timedelta, grace: timedelta) -> bool:
    """Whether `window` is taken as complete.

    Args:
        window: merged over replicas.
        latest: start of the pilot's latest slice that has begun.
        now: wall-clock time.
        length: of a window.
        grace: how long a replica may take to write what it served.
    """
    return latest > window.start or now >= window.updated_at + length + grace
