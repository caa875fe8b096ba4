"""Runs on a terminal: the list, one run with its steps, and what a new run came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import costs, tables
from pilotage.core.artifacts import Scorecard

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.operations.execution.costs import RunCost
    from pilotage.pipelines.execution.runs import RunResult
    from pilotage.pipelines.journals.records import RunRecord, StepRecord


def show_runs(console: Console, records: Sequence[RunRecord]) -> None:
    """The list of runs."""
    if not records:
        console.print("Nothing has run here yet. `pilotage run PILOT` begins.")
        return
    table = tables.table(
        "run", "pilot", "state", "started (UTC)", "seconds", "why", "version", right=("seconds", "version")
    )
    for record in records:
        took = record.ended_at and record.started_at and record.ended_at - record.started_at
        seconds = took.total_seconds() if took else None
        version = (record.result or {}).get("version")
        table.add_row(
            record.id,
            record.pilot,
            tables.state(record.state),
            tables.moment(record.started_at or record.asked_at),
            tables.number(seconds, 3),
            "trigger" if record.trigger else "asked",
            str(version) if version else "–",
        )
    console.print(table)


def show_run(
    console: Console, record: RunRecord, steps: Sequence[StepRecord], cost: RunCost | None = None
) -> None:
    """One run with its steps, and what it cost."""
    console.print(
        f"[bold]{record.id}[/] of [bold]{record.pilot}[/]: ", tables.state(record.state), sep="", end="\n"
    )
    table = tables.table(
        "step", "state", "seconds", "peak MB", "attempt", "log", right=("seconds", "peak MB", "attempt")
    )
    for step in steps:
        peak = step.peak_memory_bytes / 1e6 if step.peak_memory_bytes else None
        table.add_row(
            step.name,
            tables.state(step.state),
            tables.number(step.seconds, 3),
            tables.number(peak, 3),
            str(step.attempt or "–"),
            str(step.log or "–"),
        )
    console.print(table)
    if cost is not None:
        costs.show_run(console, cost)
    if record.error:
        console.print(f"[red]{escape(str(record.error.get('message', '')))}[/]")
        console.print(escape(str(record.error.get("remedy", ""))))


def show_logs(console: Console, logs: Mapping[str, str]) -> None:
    """What steps wrote, a heading a step."""
    if not logs:
        console.print("The run left no logs; steps taken from the cache write none.")
    for step, text in logs.items():
        console.rule(step, align="left")
        console.print(text.rstrip() or "(nothing)", markup=False, soft_wrap=True)


def show_result(console: Console, result: RunResult, scorecard: Scorecard | None) -> None:
    """What a run came to: metrics beside baseline and champion, gates, the decision."""
    if scorecard is not None:
        _show_metrics(console, scorecard)
    if result.gates:
        table = tables.table("gate", "verdict", "value", "limit", "why", right=("value", "limit"))
        for gate in result.gates:
            table.add_row(
                gate["gate"],
                tables.verdict(gate["passed"]),
                tables.number(gate["value"]),
                tables.number(gate["limit"]),
                gate["reason"],
            )
        console.print(table)
    if result.version is not None:
        console.print(_decision(result))
    hits = sum(step.cached for step in result.steps)
    cached = f", {hits} of {len(result.steps)} steps from the cache" if hits else ""
    console.print(f"[dim]Run {result.run}: {result.state.value} in {result.seconds:.1f} s{cached}[/]")


def scorecard_of(result: RunResult) -> Scorecard | None:
    """What the evaluation of a run on this machine found; None where it came to none."""
    for step in result.steps:
        uri = step.outputs.get("scorecard", {}).get("uri")
        if uri and (Path(uri) / Scorecard.FILE).is_file():
            return Scorecard.read(Path(uri))
    return None


def _show_metrics(console: Console, scorecard: Scorecard) -> None:
    rivals = [rival for rival in (scorecard.baseline, scorecard.champion) if rival is not None]
    names = [f"champion {rival.version}" if rival.version else "baseline" for rival in rivals]
    table = tables.table("metric", "new", "95 % interval", *names, right=("new", "95 % interval", *names))
    first = scorecard.metric
    for metric in sorted(scorecard.metrics, key=lambda name: (name != first, name)):
        found = scorecard.metrics[metric]
        known = found.low is not None and found.high is not None
        table.add_row(
            f"[bold]{metric}[/]" if metric == first else metric,
            tables.number(found.value),
            f"{tables.number(found.low)} to {tables.number(found.high)}" if known else "–",
            *(tables.number(rival.metrics.get(metric)) for rival in rivals),
        )
    console.print(table)
    reached = scorecard.metrics.get(first)
    if scorecard.target is not None and reached is not None and reached.value is not None:
        relation = "meets" if reached.value >= scorecard.target else "misses"
        console.print(f"{first} {tables.number(reached.value)} {relation} the goal of {scorecard.target:g}.")


def _decision(result: RunResult) -> str:
    colours = {"promoted": "green", "pending": "yellow", "rolling_out": "yellow", "releasing": "yellow"}
    decision = result.decision.value if result.decision else "registered"
    colour = colours.get(decision, "red")
    text = f"Version {result.version} of {result.pilot}: [{colour}]{decision}[/]: {escape(result.reason)}"
    if decision == "pending":
        text += f"\n`pilotage approve {result.pilot}` or `pilotage reject {result.pilot}` decides."
    if decision in ("rolling_out", "releasing"):
        text += f"\n`pilotage rollouts {result.pilot}` shows how far it is."
    return text
