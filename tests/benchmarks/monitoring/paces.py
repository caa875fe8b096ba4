"""How much is measured: enough to be quoted, or just enough to see that it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Rows, rounds and windows of every part."""

    name: str
    rows: int = 1_000_000
    """Of the reference and of the window whose profiling is timed."""
    rounds: int = 5
    """Of Pilotage and the limit; a peer has its own `most_rounds`."""
    memory_rows: tuple[int, ...] = (250_000, 1_000_000, 4_000_000)
    reference_rows: int = 100_000
    """Of the references whose false alarms are counted."""
    small_reference_rows: int = 20_000
    """Of references that Pilotage alone is measured on too."""
    splits: int = 10
    """References drawn, each with as many windows of its own; a peer has only the first."""
    windows: int = 100
    """Of each size, for each split."""
    peer_windows: Mapping[int, int] | None = None
    """Window's rows → windows of a peer; None for as many as `windows`."""
    sizes: tuple[int, ...] = (200, 1_000, 10_000)
    week_splits: int = 20
    """Random halves of the weeks of the year, the one the other's reference; a peer has only the first."""
    shift_sizes: tuple[int, ...] = (200, 1_000)
    shift_windows: int = 100
    peer_shift_windows: int = 20
    shift_weeks: int = 10

    def of_peer(self, rows: int) -> int:
        """Undrifted windows of `rows` rows that a peer judges."""
        return min(self.windows, (self.peer_windows or {}).get(rows, self.windows))


FULL = Pace("full", peer_windows={10_000: 30})
QUICK = Pace(
    "quick",
    rows=100_000,
    rounds=1,
    memory_rows=(25_000, 100_000),
    reference_rows=20_000,
    splits=2,
    windows=10,
    peer_windows={200: 5, 1_000: 5, 10_000: 3},
    week_splits=1,
    shift_windows=10,
    peer_shift_windows=3,
    shift_weeks=2,
)
