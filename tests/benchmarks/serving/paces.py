"""How long everything is measured: long enough to be quoted, or just long enough to see that it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Rounds and seconds of every scenario."""

    name: str
    row_counts: tuple[int, ...] = (1, 10, 100)
    connection_counts: tuple[int, ...] = (16, 64)
    rounds: int = 2
    warm_seconds: float = 1.0
    seconds: float = 2.0
    most_seconds: float = 4.0
    """For servers so slow that their connections would not be answered several times in `seconds`."""
    cold_starts: int = 2
    tail_row_counts: tuple[int, ...] = (1, 100)
    tail_rounds: int = 1
    tail_seconds: float = 4.0
    overload_seconds: float = 60.0
    recording_rounds: int = 14
    recording_seconds: int = 2
    swaps: int = 100


FULL = Pace("full")
QUICK = Pace(
    "quick",
    connection_counts=(64,),
    rounds=1,
    warm_seconds=1.0,
    seconds=1.0,
    most_seconds=3.0,
    cold_starts=1,
    tail_row_counts=(1,),
    tail_rounds=1,
    tail_seconds=2.0,
    overload_seconds=8.0,
    recording_rounds=6,
    recording_seconds=1,
    swaps=8,
)
