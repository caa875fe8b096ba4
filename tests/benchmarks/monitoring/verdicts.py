"""Everyone's verdict on the same windows, column by column, in one measure: beyond 1 is drift.

Pilotage judges in this process, peers in theirs. What a peer said is kept; see `children.Archive`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats
from tests.benchmarks.monitoring import children, samples
from tests.benchmarks.monitoring.children import Archive
from tests.benchmarks.monitoring.contenders import CONTENDERS, Contender
from tests.benchmarks.monitoring.paces import Pace
from tests.benchmarks.monitoring.samples import Split

Strengths = list[dict[str, float]]
"""Window by window: column → strength."""
DATASET_SHARE = 0.5
"""Of columns drifted, from which Evidently says that the data set has."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Run:
    """Who takes part, and where files are."""

    folder: Path
    archive: Archive
    chosen: Sequence[Contender]
    pace: Pace

    @property
    def peers(self) -> list[Contender]:
        """Peers with a verdict on windows, also those of which only an earlier one is known."""
        return [one for one in CONTENDERS if one.is_peer and one.judges_windows]

    def ask(
        self, peer: Contender, name: str, split: Split, parts: Callable[[], Sequence[pl.DataFrame]]
    ) -> tuple[Strengths, str] | None:
        """A peer's verdict on the windows called `name`, and when it was if it is of an earlier run.

        None when the peer takes no part and there is no earlier one.
        """
        last = self.archive.last(name, peer)
        if peer not in self.chosen or (last and not last[1]):
            return last
        windows = list(parts())
        folder = self.folder / name
        reference, file = samples.write(split, windows, folder)
        job = {
            "task": "windows", "reference": str(reference), "windows": str(file),
            "rows": len(windows[0]), "weekly": split.days is not None,
        }  # fmt: skip
        found = children.run(peer, job, folder)["found"]
        assert len(found) == len(windows), f"{peer.name} judged {len(found)} of {len(windows)} windows"
        return self.archive.keep(name, peer, found), ""


def alarms(strengths: Strengths) -> npt.NDArray[np.bool_]:
    """Which windows have any drifted column."""
    return np.array([any(value > 1 for value in window.values()) for window in strengths], dtype=bool)


def dataset_alarms(strengths: Strengths) -> npt.NDArray[np.bool_]:
    """Which windows have at least `DATASET_SHARE` of their columns drifted."""
    shares = [np.mean([value > 1 for value in window.values()]) for window in strengths]
    return np.array(shares) >= DATASET_SHARE


def named(strengths: Strengths, column: str) -> npt.NDArray[np.bool_]:
    """In which windows the column is among the drifted ones."""
    return np.array([window[column] > 1 for window in strengths], dtype=bool)


def share(found: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """How many windows have it, and the exact binomial interval of the share (Clopper and Pearson, 1934)."""
    hits, count = int(found.sum()), len(found)
    interval = stats.binomtest(hits, count).proportion_ci(CONFIDENCE, method="exact")
    return {"alarms": hits, "windows": count, "low": float(interval.low), "high": float(interval.high)}


@dataclass(frozen=True)
class Matched:
    """Thresholds of a tool set by hand to alarm on about one of the undrifted windows seen, and no more.

    Each column's score is measured in its own spread over undrifted windows, and drift is what exceeds the
    largest of them all: what a patient user could tune the tool to who had that many undrifted windows.
    """

    centre: dict[str, float]
    spread: dict[str, float]
    threshold: float

    @classmethod
    def of(cls, undrifted: Strengths) -> Matched:
        """From verdicts on undrifted windows."""
        scores = {name: np.array([window[name] for window in undrifted]) for name in undrifted[0]}
        centre = {name: float(values.mean()) for name, values in scores.items()}
        spread = {name: max(float(values.std()), 1e-9) for name, values in scores.items()}
        free = cls(centre, spread, 0.0)
        return cls(centre, spread, float(free._largest(undrifted).max()))

    def alarms(self, strengths: Strengths) -> npt.NDArray[np.bool_]:
        """Which windows exceed every undrifted one."""
        return self._largest(strengths) > self.threshold

    def _largest(self, strengths: Strengths) -> npt.NDArray[np.float64]:
        return np.array(
            [
                max((window[name] - centre) / self.spread[name] for name, centre in self.centre.items())
                for window in strengths
            ]
        )


def wait(found: npt.NDArray[np.bool_]) -> float | None:
    """Mean number of windows until the first alarm, the shift beginning at each in turn, round and round.

    1 when every window alarms; None when none does.
    """
    if not found.any():
        return None
    count = len(found)
    hits = np.flatnonzero(np.concatenate([found, found]))
    waits = [int(hits[np.searchsorted(hits, begin)]) - begin + 1 for begin in range(count)]
    return float(np.mean(waits))
