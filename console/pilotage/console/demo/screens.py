"""What the demo shows while it goes on, and its table at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pilotage.console.demo.observers import Retraining
from pilotage.console.outputs import Output
from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.demo.story import Result

_COLOURS = {"alarm": "yellow", "retrain": "cyan", "swap": "green", "month": "dim"}
_SHOWN_REPORTS = 3


class Screen:
    """Chapters, events and the bar of the traffic, on stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._live: Progress | None = None
        self._task = TaskID(0)
        self._month = ""
        self._requests = 0
        self._failed = 0

    def chapter(self, text: str) -> None:
        """Something begins."""
        self._output.say(f"[bold]•[/] {escape(text)}")

    def event(self, kind: str, text: str) -> None:
        """Something happened behind the traffic."""
        longest = self._output.progress.width - 14
        shown = text if len(text) <= longest else text[: longest - 1] + "…"
        self._output.say(f"    [{_COLOURS[kind]}]{kind:<8}[/] {escape(shown)}")

    def retraining(self, retraining: Retraining) -> None:
        """A retraining started or ended."""
        if retraining.state in ("running", "started"):
            cause = retraining.trigger.cause.value
            self.event(
                "retrain", f"started by {cause} up to {retraining.trigger.at:%d %B}; traffic goes on, slowly"
            )
        elif retraining.version is not None:
            fate = "promoted" if retraining.promoted else "not promoted"
            took = f" after {retraining.seconds:.0f} s" if retraining.seconds else ""
            self.event("retrain", f"version {retraining.version} {fate}{took}: {retraining.reason}")
        else:
            self.event("retrain", f"{retraining.state}: {retraining.reason}")

    @contextmanager
    def traffic(self, rows: int) -> Iterator[None]:
        """Show how far the replay is while the block runs."""
        self.chapter("April onwards, an hour's flights a request; labels come a week late")
        if not self._output.is_live:
            yield
            return
        self._live = Progress(
            TextColumn("    {task.description}"),
            BarColumn(bar_width=40),
            TextColumn(
                "{task.percentage:>3.0f} %  {task.fields[requests]} requests, {task.fields[failed]} failed"
            ),
            TimeElapsedColumn(),
            console=self._output.progress,
            transient=True,
        )
        self._task = self._live.add_task("", total=rows, requests=0, failed=0)
        with self._live:
            yield
        self._live = None

    def advance(self, moment: datetime, rows: int, answered: bool) -> None:
        """One request is over."""
        self._requests += 1
        self._failed += not answered
        if self._live is not None:
            self._live.update(
                self._task,
                advance=rows,
                description=f"{moment:%d %b %H:%M}",
                requests=self._requests,
                failed=self._failed,
            )
        elif f"{moment:%B}" != self._month:
            self.event("month", f"{moment:%B}: {self._requests - 1} requests so far, {self._failed} failed")
        self._month = f"{moment:%B}"

    def finish(self) -> None:
        """The traffic is over and everything is being stopped."""
        self.chapter("Stopping server and monitor; scoring all flights with the first champion")


def show(console: Console, result: Result) -> None:
    """The table by month and where the reports are."""
    table = tables.table(
        "month", "requests", "failed", "p99 ms", "drifted features", "AUC first", "AUC live", "retrainings",
        "versions",
        right=("requests", "failed", "p99 ms", "AUC first", "AUC live", "retrainings"),
    )  # fmt: skip
    for month in result.months:
        names = ", ".join(month.drifted[:2]) + (
            f" and {len(month.drifted) - 2} more" if month.drifted[2:] else ""
        )
        table.add_row(
            month.month,
            f"{month.requests:,}",
            str(month.failed),
            tables.number(month.p99_ms, 3),
            f"{len(month.drifted)}: {names}" if names else "0",
            tables.number(month.auc_first),
            tables.number(month.auc_live),
            str(month.retrainings),
            ", ".join(map(str, month.versions)),
        )
    console.print(table)
    promoted = sum(item.promoted for item in result.retrainings)
    retrained = f"{len(result.retrainings)} retrainings, {promoted} promoted"
    console.print(f"{result.alarms} alarms, {retrained}, {result.seconds:.0f} s")
    both = result.comparison
    if both is not None:
        console.print(
            f"On the {both.rows:,} flights since the first promotion: AUC {tables.number(both.auc_first)}"
            f" by the first champion, {tables.number(both.auc_live)} by the one that was live"
        )
    console.print(f"Everything is in {result.folder}; {len(result.reports)} drift reports, the latest:")
    for page in result.reports[-_SHOWN_REPORTS:]:
        console.print(f"  {page}", soft_wrap=True)
