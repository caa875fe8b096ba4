"""Power: how soon a real shift is found, and in which week after training the seasons are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from tests.benchmarks.monitoring import alarms, samples, verdicts
from tests.benchmarks.monitoring.alarms import WEEK
from tests.benchmarks.monitoring.contenders import OURS
from tests.benchmarks.monitoring.samples import COLUMN, Shift, Split
from tests.benchmarks.monitoring.verdicts import Matched, Run, Strengths


def measure(run: Run) -> dict[str, Any]:
    """Injected shifts by tool and size, and the weeks from April on against January to March."""
    return {
        "injected": [cell for size in _sizes(run) for cell in _injected(run, size)],
        "months": _months(run),
    }


def _sizes(run: Run) -> tuple[int | str, ...]:
    return (*run.pace.shift_sizes, WEEK)


def _split(run: Run, size: int | str, windows: int) -> Split:
    if isinstance(size, str):
        return samples.week_split(number=0, windows=windows)
    return samples.random_split(size, windows, run.pace.reference_rows, number=0)


def _injected(run: Run, size: int | str) -> Iterator[dict[str, Any]]:
    """Pilotage over all windows, the peers over the first of them; waits are told of those that all have."""
    pace = run.pace
    weeks = isinstance(size, str)
    all_, few = (pace.shift_weeks,) * 2 if weeks else (pace.shift_windows, pace.peer_shift_windows)
    split = _split(run, size, all_)
    reference = samples.profiled(split)
    for shift in Shift:
        strengths = samples.judged(reference, split, samples.frames(split, shift))
        yield _cell(OURS, shift, size, few, strengths)
    first = _split(run, size, few)
    for peer in run.peers:
        usual = alarms.undrifted(run, peer, size)
        told = run.ask(peer, f"shifted-{size}", first, partial(_all_shifts, first))
        if usual and told:
            for number, shift in enumerate(Shift):
                part = told[0][number * few : (number + 1) * few]
                yield _cell(peer.name, shift, size, few, part, Matched.of(usual[0]), told[1])


def _all_shifts(split: Split) -> list[pl.DataFrame]:
    return [frame for shift in Shift for frame in samples.frames(split, shift)]


def _cell(
    name: str, shift: Shift, size: int | str, few: int, strengths: Strengths,
    matched: Matched | None = None, at: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Found by the tool's own rule, by that rule in the changed column, and at few false alarms.

    Pilotage is not tuned: its own rule is the one for few false alarms.
    """
    own = verdicts.alarms(strengths)
    rules = {
        "any": own,
        "column": verdicts.named(strengths, COLUMN[shift]),
        "matched": own if matched is None else matched.alarms(strengths),
    }
    told: dict[str, Any] = {"contender": name, "shift": shift.value, "size": size, "stored_at": at}
    return told | {
        rule: verdicts.share(found) | {"wait": verdicts.wait(found[:few])} for rule, found in rules.items()
    }


def _months(run: Run) -> list[dict[str, Any]]:
    split = samples.month_split()
    ours = samples.judged(samples.profiled(split), split, samples.frames(split))
    cells = [_stream(OURS, ours, None, "")]
    for peer in run.peers:
        usual = alarms.undrifted(run, peer, WEEK)
        told = run.ask(peer, "months", split, lambda: samples.frames(split))
        if usual and told:
            cells.append(_stream(peer.name, told[0], Matched.of(usual[0]).alarms(told[0]), told[1]))
    return cells


def _stream(
    name: str, strengths: Strengths, matched: npt.NDArray[np.bool_] | None, at: str
) -> dict[str, Any]:
    own = verdicts.alarms(strengths)
    columns = [[name for name, value in window.items() if value > 1] for window in strengths]
    return {
        "contender": name,
        "stored_at": at,
        "weeks": len(own),
        "any": _weeks(own),
        "matched": _weeks(own if matched is None else matched),
        "first_columns": next((sorted(names) for names in columns if names), []),
    }


def _weeks(found: npt.NDArray[np.bool_]) -> list[int]:
    """Numbers of the weeks with an alarm, from 1."""
    return [int(week) + 1 for week in np.flatnonzero(found)]
