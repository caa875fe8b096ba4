"""The demo's data: flights in order of time, landed as Parquet files the way a warehouse would.

Months that are history lie there at the start; later flights land a week at a
time, once it is known whether they were late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import yaml

from pilotage.components.sources import functions
from pilotage.console import examples
from pilotage.core import errors, pilots, storage, windows
from pilotage.core.pilots import Pilot
from pilotage.core.specs import PythonSource

EXAMPLE = "flight-delay"
HISTORY = datetime(2013, 1, 1, tzinfo=UTC)
REPLAY = datetime(2013, 4, 1, tzinfo=UTC)
"""Flights before are history; from here on they are traffic."""
FIRST_MONTH, LAST_MONTH = 4, 8
_DATA = "data"


@dataclass(frozen=True)
class Slice:
    """The part of one monitoring window that is replayed."""

    window: datetime
    """Where the window starts."""
    end: datetime
    first: int
    """Row of the traffic at which it begins."""
    last: int
    """Row behind its last."""


class Landing:
    """The pilot of the demo and the flights around it."""

    def __init__(self, folder: Path, months: int) -> None:
        """Write the pilot's folder and land the history.

        Args:
            folder: where the pilot comes to be.
            months: how many months from April on are traffic, 1 to 5.

        Raises:
            NotFound: the example is not installed.
            SourceError: its flights cannot be read.
        """
        example = pilots.load(examples.find(EXAMPLE))
        source = example.spec.data.source
        if not isinstance(source, PythonSource):
            raise errors.SpecError(f"`{example.file}` has no Python source to take flights from.")
        until = datetime(2013, REPLAY.month + months, 1, tzinfo=UTC)
        span = {"start": HISTORY.isoformat(), "end": until.isoformat()}
        flights: pl.DataFrame = functions.call(source.python, example.folder, span)
        self._folder = folder
        self.pilot = self._write_pilot(example)
        data = self.pilot.spec.data
        self.time, self.key, self.target = str(data.time), str(data.key), data.target
        flights = flights.sort(self.time, self.key)
        history = flights.filter(pl.col(self.time) < REPLAY)
        self.traffic = flights.filter(pl.col(self.time) >= REPLAY)
        for (month,), part in history.group_by(pl.col(self.time).dt.month(), maintain_order=True):
            self._land(part, f"2013-{month:02d}")

    def slices(self) -> list[Slice]:
        """The traffic cut where the pilot's monitoring windows end."""
        length = self.pilot.spec.monitor.window
        times = self.traffic[self.time]
        start, end = windows.start_of(times[0], length), times[-1]
        found: list[Slice] = []
        while start <= end:
            first, last = (int(times.search_sorted(moment, "left")) for moment in (start, start + length))
            if last > first:
                found.append(Slice(start, start + length, first, last))
            start += length
        return found

    def requests(self, part: Slice) -> Iterator[tuple[int, int]]:
        """First and last row of each request: the flights of one clock hour."""
        hours = self.traffic[self.time][part.first : part.last].dt.truncate("1h")
        sizes = hours.rle().struct.field("len").to_list()
        row = part.first
        for size in sizes:
            yield row, row + size
            row += size

    def land(self, part: Slice) -> None:
        """Land the flights of a slice, whose lateness is known now, for the next training."""
        self._land(self.traffic[part.first : part.last], f"{part.end - timedelta(days=1):%Y-%m-%d}")

    def _land(self, table: pl.DataFrame, name: str) -> None:
        folder = self._folder / _DATA
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{name}.parquet.tmp"
        table.write_parquet(draft)
        draft.rename(folder / f"{name}.parquet")

    def _write_pilot(self, example: Pilot) -> Pilot:
        content = example.spec.model_dump(mode="json", exclude_unset=True)
        content["data"]["source"] = f"{_DATA}/*.parquet"
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        text = text.replace("'on':", "on:")  # a word in YAML 1.2, which pilot.yaml is
        heading = f"# The example {EXAMPLE} as the demo runs it: flights land as files in `{_DATA}/`.\n"
        storage.write_file(self._folder / pilots.FILE_NAME, (heading + text).encode())
        return pilots.load(self._folder)
