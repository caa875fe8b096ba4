"""Two runs beside each other: what they were asked, what they used, what came of them.

Only what both tell is compared; nothing is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from pilotage.console.access.actors import Actor
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs
from pilotage.console.operations.execution.runs import Run
from pilotage.console.operations.listings import Model


class Section(StrEnum):
    """What a line is about."""

    PARAMETERS = "parameters"
    PILOT = "pilot.yaml"
    DATA = "data"
    METRICS = "metrics"
    GATES = "gates"
    TIMES = "times"


class Line(Model):
    """One fact of both."""

    name: str
    before: Any
    after: Any
    difference: float | None = None
    """After less before, where both are numbers."""

    @property
    def same(self) -> bool:
        """Whether both tell the same."""
        return bool(self.before == self.after)


class Comparison(Model):
    """Two runs beside each other."""

    before: Run
    after: Run
    sections: dict[Section, tuple[Line, ...]]
    """In `pilot.yaml` and `parameters` only what differs."""


def compare_runs(desk: Desk, actor: Actor, before: str, after: str) -> Comparison:
    """Both runs, and where they differ.

    Raises:
        NotFound: one of them is not there, or not for this actor.
    """
    first, second = (runs.get_run(desk, actor, run) for run in (before, after))
    return Comparison(
        before=first,
        after=second,
        sections={
            Section.PARAMETERS: _differing(_flat(first.parameters), _flat(second.parameters)),
            Section.PILOT: _differing(_flat(first.spec), _flat(second.spec)),
            Section.DATA: _lines(_data(first), _data(second)),
            Section.METRICS: _lines(_metrics(first), _metrics(second)),
            Section.GATES: _lines(_gates(first), _gates(second)),
            Section.TIMES: _lines(_times(first), _times(second)),
        },
    )


def _lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Line, ...]:
    return tuple(_line(name, before.get(name), after.get(name)) for name in _names(before, after))


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Line, ...]:
    return tuple(line for line in _lines(before, after) if not line.same)


def _names(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    return dict.fromkeys((*before, *after))


def _line(name: str, before: Any, after: Any) -> Line:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
    return Line(name=name, before=before, after=after, difference=after - before if numbers else None)


def _flat(content: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _data(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for step in run.steps:
        for name, output in step.outputs.items():
            if digest := output.get("digest"):
                told[f"{name} digest"] = str(digest)[:12]
            told |= {
                f"{name} {key}": output[key]
                for key in ("rows", "features", "checks", "failed")
                if key in output
            }
    return told


def _metrics(run: Run) -> dict[str, Any]:
    return dict((run.result or {}).get("metrics") or {})


def _gates(run: Run) -> dict[str, Any]:
    gates = (run.result or {}).get("gates") or ()
    return {str(gate["gate"]): "passed" if gate["passed"] else "refused" for gate in gates}


def _times(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {step.name: "cached" if step.cached else step.seconds for step in run.steps}
    return {**told, "whole run": run.seconds}
