"""What monitoring is to reach, as ratios and limits, beside what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks.monitoring.alarms import SHIPPED, WEEK
from tests.benchmarks.monitoring.contenders import ALIBI, BY_NAME, EVIDENTLY, NANNYML, OURS, WHYLOGS
from tests.benchmarks.monitoring.estimates import NO_CHANGE
from tests.benchmarks.targets import Goal

TIMES = {EVIDENTLY: 100.0, NANNYML: 15.0, ALIBI: 6.0, WHYLOGS: 30.0}
"""Peer → how many times less processor time Pilotage takes."""
FURTHER_CPU_SECONDS = 0.5
GROWTH = 0.05
"""Of peak memory, which is measured: what counts as none."""
FALSE_ALARMS = 0.01


def judge(found: dict[str, Any]) -> list[Goal]:
    """The goals of every scenario that was measured."""
    judges: dict[str, Callable[[Any], Iterator[Goal]]] = {
        "speed": _speed, "false_alarms": _false_alarms, "shifts": _shifts, "estimates": _estimates,
    }  # fmt: skip
    return [goal for name, judging in judges.items() if name in found for goal in judging(found[name])]


def _speed(found: dict[str, Any]) -> Iterator[Goal]:
    costs = found["costs"]
    for name, wanted in TIMES.items():
        if name in costs:
            times = costs[name]["cpu"] / costs[OURS]["cpu"]
            text = f"times less processor time than {BY_NAME[name].title}"
            yield Goal("speed", text, f"≥ {wanted:.0f}", f"{times:.1f}", times >= wanted)
    seconds = statistics.median(found["further_cpu"])
    text = f"a further window of {found['rows']:,} rows"
    wanted_seconds = f"≤ {FURTHER_CPU_SECONDS} CPU s"
    yield Goal("speed", text, wanted_seconds, f"{seconds:.2f} CPU s", seconds <= FURTHER_CPU_SECONDS)
    (_, before), (rows, after) = list(found["memory_mb"].items())[-2:]
    text = f"growth of peak memory up to {int(rows):,} rows"
    growth = after / before - 1
    yield Goal("speed", text, f"< {GROWTH:.0%}", f"{growth:+.0%}", growth < GROWTH)


def _false_alarms(found: dict[str, Any]) -> Iterator[Goal]:
    """Met where the rate lies below the exact interval's upper end or the interval holds it."""
    for cell in found["cells"]:
        if cell["contender"] == OURS and cell["rule"] == SHIPPED:
            size = cell["size"]
            told = f"{size:,} rows" if isinstance(size, int) else "a week" if size == WEEK else size
            text = f"undrifted windows of {told}"
            share = cell["alarms"] / cell["windows"]
            reached = f"{share:.2%} ({cell['low']:.2%} to {cell['high']:.2%})"
            wanted = f"≤ {FALSE_ALARMS:.0%} with an alarm"
            yield Goal("false_alarms", text, wanted, reached, cell["low"] <= FALSE_ALARMS)


def _shifts(found: dict[str, Any]) -> Iterator[Goal]:
    cells = {(cell["contender"], cell["size"], cell["shift"]): cell for cell in found["injected"]}
    sizes = list(dict.fromkeys(cell["size"] for cell in found["injected"]))
    for peer in (EVIDENTLY, NANNYML):
        for rule, told in (
            ("column", "naming the column, as it is set"),
            ("matched", "tuned"),
        ):
            for size in sizes:
                pairs = [
                    (cells[OURS, size, shift][rule]["wait"], cell[rule]["wait"])
                    for (name, at, shift), cell in cells.items()
                    if name == peer and at == size
                ]
                if pairs:
                    windows = "weeks" if size == WEEK else f"windows of {size:,} rows"
                    text = f"shifts in {windows} found later than by {BY_NAME[peer].title}, {told}"
                    late = sum(is_later(*pair) for pair in pairs)
                    yield Goal("shifts", text, "0", f"{late} of {len(pairs)}", late == 0)
    yield from _months(found["months"])


def _months(streams: list[dict[str, Any]]) -> Iterator[Goal]:
    firsts = {stream["contender"]: stream["matched"][:1] for stream in streams}
    for peer in (EVIDENTLY, NANNYML):
        if peer in firsts:
            text = f"first week after training with an alarm, against {BY_NAME[peer].title}, tuned"
            ours, theirs = firsts[OURS], firsts[peer]
            met = not is_later(*(float(first[0]) if first else None for first in (ours, theirs)))
            shown = [str(first[0]) if first else "none" for first in (theirs, ours)]
            yield Goal("shifts", text, f"≤ {shown[0]}" if theirs else "any", shown[1], met)


def is_later(ours: float | None, theirs: float | None) -> bool:
    """Whether a shift that the peer finds is found later; what it does not find cannot be late."""
    return theirs is not None and (ours is None or ours > theirs)


def _estimates(found: dict[str, Any]) -> Iterator[Goal]:
    for length, told in found.items():
        errors = {name: one["mean_absolute"] for name, one in told["errors"].items()}
        for name in errors:
            if name.startswith(OURS):
                for other, title in ((NANNYML, "NannyML's CBPE"), (NO_CHANGE, "no change")):
                    if other in errors:
                        text = f"error of {name.partition(': ')[2]} by {length}, against {title}"
                        met = errors[name] <= errors[other]
                        yield Goal("estimates", text, f"≤ {errors[other]:.4f}", f"{errors[name]:.4f}", met)
