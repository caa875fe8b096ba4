"""Rollouts on a terminal: the one that goes on, with its figures, and those before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.operations.models.transitions import Transition
    from pilotage.core.artifacts import Measured, Rollout


def show(console: Console, pilot: str, rollouts: Sequence[Rollout]) -> None:
    """A table, newest first, and how the running one compares."""
    if not rollouts:
        console.print(
            f"Nothing was rolled out for {pilot}. `serve.rollout` in pilot.yaml says how versions are."
        )
        return
    table = tables.table(
        "version", "champion", "strategy", "state", "step", "share", "requests", "began (UTC)", "why",
        right=("version", "champion", "share", "requests"),
    )  # fmt: skip
    for rollout in rollouts:
        measured = rollout.measured
        table.add_row(
            str(rollout.challenger),
            str(rollout.champion),
            rollout.strategy.value,
            tables.state(rollout.state),
            f"{rollout.step + 1} of {len(rollout.steps)}",
            _share(rollout) if rollout.running else "–",
            str(measured.requests) if measured else "–",
            tables.moment(rollout.started_at),
            escape(rollout.reason),
        )
    console.print(table)
    for rollout in rollouts:
        if rollout.running and rollout.measured:
            console.print(_compared(rollout, rollout.measured))


def show_releases(console: Console, releases: Sequence[Transition]) -> None:
    """A table of what was released to environments, newest first, and where the first stands."""
    if not releases:
        return
    table = tables.table("version", "environment", "stage", "asked (UTC)", "by", "commit", right=("version",))
    for item in releases:
        table.add_row(
            str(item.version),
            item.environment,
            tables.state(item.stage),
            tables.moment(item.asked_at),
            escape(item.who),
            (item.commit or "–")[:12],
        )
    console.print(table)
    first = releases[0]
    if first.told:
        console.print(f"Version {first.version}: {escape(first.told)}.")


def _share(rollout: Rollout) -> str:
    return f"{rollout.share} %" if rollout.share else "copies"


def _compared(rollout: Rollout, measured: Measured) -> str:
    """The figures of the step that goes on, in a line each."""
    bounds = rollout.bounds
    lines = [
        f"Version {rollout.challenger} beside {rollout.champion}, in this step:",
        f"  failed requests beyond the champion's: {measured.errors:.2%}"
        f" (bound {_bound(bounds.errors, '.1%')})",
        f"  p99 of the model's time, ratio: {tables.number(measured.latency, 3)}"
        f" (bound {_bound(bounds.latency, 'g')})",
        f"  stability index of the scores: {tables.number(measured.score, 3)}"
        f" (bound {_bound(bounds.score, 'g')})",
    ]
    if measured.agreement is not None:
        lines.append(
            f"  the same prediction for {measured.agreement:.1%} of the rows, scores"
            f" {tables.number(measured.distance, 3)} apart on average; {measured.dropped} copies were dropped"
        )
    return "\n".join(lines)


def _bound(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)
