"""What the pages of the benchmarks have in common: tables, goals and how far they were reached, when, how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tests.benchmarks.targets import Goal


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table, after an empty one; all columns but the first are aligned to the right."""
    lines = ["", f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def taken(found: dict[str, Any]) -> Iterator[str]:
    """By which command, at which commit and when the parts were measured."""
    by_run: dict[tuple[str, str], list[str]] = {}
    for scenario, told in found["taken"].items():
        by_run.setdefault((told["command"], told["commit"]), []).append(scenario)
    for (command, commit), scenarios in by_run.items():
        at = max(found["taken"][scenario]["at"] for scenario in scenarios)
        yield f"- `{command}` at commit {commit}, {at}: {', '.join(sorted(scenarios))}"


def judged(goals: Sequence[Goal]) -> list[str]:
    """What was not reached, then every goal."""
    if not goals:
        return []
    missed = [goal for goal in goals if not goal.met]
    rows = [(goal.text, goal.wanted, goal.reached, "yes" if goal.met else "**no**") for goal in goals]
    if missed:
        told = ["", f"Not reached ({len(missed)} of {len(goals)}):", ""]
        told += [f"- {goal.text}: {goal.reached}, wanted {goal.wanted}." for goal in missed]
    else:
        told = ["", f"All {len(goals)} goals were reached."]
    return ["", "## Goals", *told, *table(("goal", "wanted", "reached", "met"), rows)]
