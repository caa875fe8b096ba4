"""Drift reports, alarms, triggers and retrainings on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables
from pilotage.core import windows
from pilotage.core.storage import Storage

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.watches import Findings
    from pilotage.core.artifacts import DriftReport
    from pilotage.core.settings import Settings


def page(report: DriftReport, settings: Settings) -> str:
    """Where the page of a report is."""
    folder = windows.reports_folder(report.pilot, report.version, report.start)
    return Storage(settings.storage).location(f"{folder}/drift.html")


def lines(found: Findings, settings: Settings) -> Iterator[str]:
    """What happened, a line each."""
    for report in found.reports:
        for alarm in report.alarms:
            yield f"[yellow]alarm[/]      {escape(alarm.message)}"
            yield f"[dim]           {page(report, settings)}[/]"
    for rollout in found.rollouts:
        if not rollout.running:
            fate = f"{rollout.state}: {escape(rollout.reason)}"
            yield f"[cyan]rollout[/]    version {rollout.challenger} {fate}"
    for trigger in found.started:
        yield f"[cyan]retraining[/] started by {trigger.cause.value}: {escape(trigger.reason)}"
    for retraining in found.retrainings:
        version = f"version {retraining.version}" if retraining.version else retraining.state
        fate = "[green]promoted[/]" if retraining.promoted else "[yellow]not promoted[/]"
        yield f"[cyan]retraining[/] ended: {version}, {fate}: {escape(retraining.reason)}"


def show(console: Console, found: Findings) -> None:
    """The windows that were compared."""
    if not found.reports:
        console.print("No window has closed since the last look.")
        return
    table = tables.table(
        "window (UTC)", "version", "rows", "drifted", "metric", "value", "estimated", "reference", "alarms",
        right=("version", "rows", "value", "estimated", "reference"),
    )  # fmt: skip
    for report in sorted(found.reports, key=lambda item: (item.start, item.version)):
        drifted = [feature.feature for feature in report.features if feature.drifted]
        if report.rows_drifted:
            drifted.append("rows as a whole")
        performance, estimated = report.performance, report.estimated
        told = performance or estimated
        table.add_row(
            f"{tables.moment(report.start)} to {tables.moment(report.end)}",
            str(report.version),
            str(report.rows),
            ", ".join(drifted) or "–",
            told.metric if told else "–",
            tables.number(performance.value if performance else None),
            tables.number(estimated.value if estimated else None),
            tables.number(told.reference if told else None),
            ", ".join(alarm.cause.value for alarm in report.alarms) or "–",
        )
    console.print(table)
