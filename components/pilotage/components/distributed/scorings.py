"""Batch scoring that a team shares, a part of the rows each.

A worker loads the version once and reads the rows of its part from their Parquet files; only predictions
come back. Parts are cut where one process cuts them, so the outcome is the same file. Which parts are done
already, and where they are kept, is `scoring.parts`' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from pilotage.components.distributed.teams import Team
from pilotage.components.scoring.readings import Reader
from pilotage.components.scoring.scorers import Scorer
from pilotage.components.sources import files
from pilotage.components.sources.listings import Format, Listing
from pilotage.core import errors
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows of one file."""

    path: str
    """As the file system that holds it is asked."""
    begin: int
    rows: int


@dataclass(frozen=True)
class Part:
    """Consecutive rows of all files."""

    number: int
    stretches: tuple[Stretch, ...]
    file: int
    """Position of the last file that it has rows of."""

    @property
    def rows(self) -> int:
        return sum(stretch.rows for stretch in self.stretches)


@dataclass(frozen=True)
class Plan:
    """All rows in parts."""

    parts: tuple[Part, ...]
    names: tuple[str, ...]
    """Columns of the first file."""


@dataclass(frozen=True)
class Task:
    """What each worker needs to know of the work."""

    settings: Settings
    pilot: str
    version: int
    reader: Reader
    key: str | None
    listing: Listing


def planned(listing: Listing, size: int) -> Plan:
    """Parts of `size` rows each but for the last.

    Raises:
        SourceError: the files are not Parquet, or one cannot be read.
    """
    if listing.format is not Format.PARQUET:
        raise errors.SourceError(
            f"Several workers share rows of Parquet files only, and these are {listing.format}.",
            remedy="Convert them to Parquet, or score with one worker.",
        )
    parts: list[Part] = []
    pending: list[Stretch] = []
    held, names = 0, tuple[str, ...]()
    for position, path in enumerate(listing.paths):
        rows, columns = files.count_rows(listing, path)
        names = names or tuple(columns)
        begin = 0
        while begin < rows:
            taken = min(rows - begin, size - held)
            pending.append(Stretch(path, begin, taken))
            begin, held = begin + taken, held + taken
            if held == size:
                parts.append(Part(len(parts), tuple(pending), position))
                pending, held = [], 0
    if pending:
        last = listing.paths.index(pending[-1].path)
        parts.append(Part(len(parts), tuple(pending), last))
    return Plan(tuple(parts), names)


def score(team: Team, task: Task, parts: Sequence[Part]) -> Iterator[tuple[Part, pa.Table]]:
    """The outcome of each of `parts`, in the order that they end. Raises as `Team.each`."""
    shared = team.share(task)
    for place, rows in team.each(_score, ((shared, part) for part in parts)):
        yield parts[place], rows


def _score(task: Task, part: Part) -> pa.Table:
    """In a worker: the predictions of a part."""
    batches = [
        batch
        for stretch in part.stretches
        for batch in files.read_rows(task.listing, stretch.path, stretch.begin, stretch.rows)
    ]
    return _scorer(task.settings, task.pilot, task.version).score(task.reader, batches, task.key)


@lru_cache(maxsize=1)
def _scorer(settings: Settings, pilot: str, version: int) -> Scorer:
    registry = Registry(settings)
    return Scorer.of(registry, settings, registry.version(pilot, version))
