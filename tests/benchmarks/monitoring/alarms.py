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
from tests.benchmarks.monitoring.ours import Reference, columns_of_table, count
from tests.benchmarks.monitoring.samples import Split
from tests.benchmarks.monitoring.verdicts import Run, Strengths

WEEK = "week"
SHIPPED, NO_FLOOR = "as it is set", "without the floor of effects"
ANY, DATASET = "any column", "half of the columns"


def measure(run: Run) -> dict[str, Any]:
    """Shares of windows with an alarm, by tool, rule and size."""
    cells = list(_ours(run))
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


def _split(run: Run, rows: int, number: int) -> Split:
    return samples.random_split(rows, run.pace.windows, run.pace.reference_rows, number=number)


def _ours(run: Run) -> Iterator[dict[str, Any]]:
    """With and without the floor, over all splits.

    Also where a reference is only twice as large as a window and a category has thousands of values.
    """
    pace = run.pace
    rows, small = max(pace.sizes), pace.small_reference_rows
    label = f"{rows:,} rows, reference of {small:,}"
    found: dict[tuple[int | str, str], list[bool]] = {}
    for number in range(pace.splits):
        reference = samples.profiled(_split(run, rows, number))  # one for windows of all sizes
        for size in pace.sizes:
            _add(found, size, reference, _split(run, size, number))
        split = samples.random_split(rows, pace.windows, small, number=number)
        _add(found, label, samples.profiled(split), split)
    for number in range(pace.week_splits):
        split = samples.week_split(number=number)
        _add(found, WEEK, samples.profiled(split), split)
    for key in ((size, rule) for size in (*sizes(run), label) for rule in (SHIPPED, NO_FLOOR)):
        yield _cell(OURS, key[1], key[0], np.array(found[key], dtype=bool), "")


def _add(
    found: dict[tuple[int | str, str], list[bool]], size: int | str, reference: Reference, split: Split
) -> None:
    """Note which windows alarm, by size and rule; each is counted once."""
    for part in samples.frames(split):
        window = count(reference, columns_of_table(part.to_arrow()))
        for rule in (SHIPPED, NO_FLOOR):
            told = samples.verdict(reference, split, window, floor=rule == SHIPPED)
            found.setdefault((size, rule), []).append(any(value > 1 for value in told.values()))


def _of_peer(peer: Contender, size: int | str, strengths: Strengths, at: str) -> Iterator[dict[str, Any]]:
    rule = SHIPPED if peer.name == ALIBI else ANY
    yield _cell(peer.name, rule, size, verdicts.alarms(strengths), at)
    if peer.name == EVIDENTLY:
        yield _cell(peer.name, DATASET, size, verdicts.dataset_alarms(strengths), at)


def _cell(name: str, rule: str, size: int | str, found: npt.NDArray[np.bool_], at: str) -> dict[str, Any]:
    told = {"contender": name, "rule": rule, "size": size, "stored_at": at}
    return told | verdicts.share(found)
