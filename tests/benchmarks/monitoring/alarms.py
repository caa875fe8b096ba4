"""False alarms: how many windows without drift raise one.

Random re-splits hold for independent rows; random weeks are real time, whose rows are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.benchmarks.monitoring import samples, verdicts
from tests.benchmarks.monitoring.contenders import ALIBI, EVIDENTLY, OURS, Contender
from tests.benchmarks.monitoring.samples import Split
from tests.benchmarks.monitoring.verdicts import Run, Strengths

WEEK = "week"
SHIPPED, NO_FLOOR = "as it is set", "without the floor of effects"
ANY, DATASET = "any column", "half of the columns"


def measure(run: Run) -> dict[str, Any]:
    """Shares of windows with an alarm, by tool, rule and size."""
    cells: list[dict[str, Any]] = []
    for rows in run.pace.sizes:
        cells += _ours(rows, [_split(run, rows, number) for number in range(run.pace.splits)])
    cells += _ours(WEEK, [samples.week_split(number=number) for number in range(run.pace.week_splits)])
    cells += _small_reference(run)
    for peer in run.peers:
        for size in sizes(run):
            if told := undrifted(run, peer, size):
                cells += _of_peer(peer, size, *told)
    pace = run.pace
    return {
        "reference_rows": pace.reference_rows,
        "splits": pace.splits,
        "week_splits": pace.week_splits,
        "cells": cells,
    }


def sizes(run: Run) -> tuple[int | str, ...]:
    """Rows of the windows, and real weeks."""
    return (*run.pace.sizes, WEEK)


def undrifted(run: Run, peer: Contender, size: int | str) -> tuple[Strengths, str] | None:
    """A peer's verdicts on undrifted windows of a size, which also tell how its alarms could be tuned."""
    if isinstance(size, str):
        split = samples.week_split(number=0)
        return run.ask(peer, "undrifted-week", split, lambda: samples.frames(split))
    split = _split(run, size, 0)
    count = run.pace.of_peer(size)
    return run.ask(peer, f"undrifted-{size}", split, lambda: samples.frames(split, windows=count))


def _small_reference(run: Run) -> Iterator[dict[str, Any]]:
    """Pilotage where a reference is twice as large as a window and a category has thousands of values."""
    pace = run.pace
    rows, usual = max(pace.sizes), pace.small_reference_rows
    splits = [samples.random_split(rows, pace.windows, usual, number=number) for number in range(pace.splits)]
    yield from _ours(f"{rows:,} rows, reference of {usual:,}", splits)


def _split(run: Run, rows: int, number: int) -> Split:
    return samples.random_split(rows, run.pace.windows, run.pace.reference_rows, number=number)


def _ours(size: int | str, splits: list[Split]) -> Iterator[dict[str, Any]]:
    """With and without the floor, over all splits."""
    found: dict[str, list[npt.NDArray[np.bool_]]] = {SHIPPED: [], NO_FLOOR: []}
    for split in splits:
        reference, parts = samples.profiled(split), samples.frames(split)
        for rule in found:
            strengths = samples.judged(reference, split, parts, floor=rule == SHIPPED)
            found[rule].append(verdicts.alarms(strengths))
    for rule, parts_found in found.items():
        yield _cell(OURS, rule, size, np.concatenate(parts_found), "")


def _of_peer(peer: Contender, size: int | str, strengths: Strengths, at: str) -> Iterator[dict[str, Any]]:
    rule = SHIPPED if peer.name == ALIBI else ANY
    yield _cell(peer.name, rule, size, verdicts.alarms(strengths), at)
    if peer.name == EVIDENTLY:
        yield _cell(peer.name, DATASET, size, verdicts.dataset_alarms(strengths), at)


def _cell(name: str, rule: str, size: int | str, found: npt.NDArray[np.bool_], at: str) -> dict[str, Any]:
    told = {"contender": name, "rule": rule, "size": size, "stored_at": at}
    return told | verdicts.share(found)
