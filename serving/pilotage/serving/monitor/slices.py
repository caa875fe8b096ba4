"""The time slices that a pilot served: which files hold each, whether it is closed, and its merged window.

A slice is closed once traffic of a later slice that has begun was seen, or once nothing was added for
longer than a window; more that comes afterwards opens the question again, for the
evidence has changed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from pilotage.core import windows
from pilotage.core.storage import Storage
from pilotage.core.windows import Window

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

    @property
    def folder(self) -> str:
        """Where the report on this slice is kept."""
        return windows.reports_folder(self.pilot, self.version, self.start)

    def stamp(self, stamps: Mapping[str, str]) -> str:
        """A digest that changes when one of the files does, from `Storage.stamps`."""
        text = "\n".join(f"{name} {stamps[name]}" for name in (*self.windows, *self.rows))
        return hashlib.sha256(text.encode()).hexdigest()


def pilot_folder(pilot: str) -> str:
    """Folder in the storage of all that was served and found for a pilot."""
    return windows.folder(pilot, 0).rsplit("/", 1)[0]


def find(pilot: str, names: Iterable[str]) -> list[Slice]:
    """The slices among file `names` of the storage, by time and version."""
    prefix = pilot_folder(pilot) + "/"
    found: dict[tuple[datetime, int], Slice] = {}
    for name in sorted(names):
        parts = name.removeprefix(prefix).split("/")
        if not name.startswith(prefix) or len(parts) != 3 or not parts[0].isdecimal():
            continue
        start = _start(parts[1])
        if start is None:
            continue
        version = int(parts[0])
        held = found.setdefault((start, version), Slice(pilot, version, start))
        if parts[2].startswith("window-") and parts[2].endswith(".json"):
            held.windows.append(name)
        elif parts[2].startswith("rows-") and parts[2].endswith(".parquet"):
            held.rows.append(name)
    return [found[key] for key in sorted(found) if found[key].windows]


def _start(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def read(storage: Storage, piece: Slice) -> Window | None:
    """The replicas' windows of a slice together; None when none can be read."""
    held = []
    for name in piece.windows:
        try:
            held.append(Window.model_validate_json(storage.read(name)))
        except ValidationError:
            logger.warning("%s is not a window and is left out", storage.location(name))
    if not held:
        return None
    try:
        return windows.merge(held)
    except ValueError:
        logger.warning("the windows in %s do not add up and are left out", storage.location(piece.folder))
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
