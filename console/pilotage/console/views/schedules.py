"""Schedules on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.operations.execution.schedules import Schedule


def show(console: Console, schedules: Sequence[Schedule]) -> None:
    """The list of schedules."""
    if not schedules:
        console.print("Nothing is scheduled. `pilotage schedules add PILOT CRON` begins.")
        return
    table = tables.table(
        "schedule", "pilot", "when", "state", "next", "last run", "missed", "source", right=("missed",)
    )
    for item in schedules:
        following = item.coming[0] if item.coming and item.next_at is not None else None
        table.add_row(
            item.id,
            item.pilot,
            item.words,
            tables.state(item.state),
            f"{following:%Y-%m-%d %H:%M %Z}" if following else "–",
            item.last_run or "–",
            str(item.missed),
            item.source,
        )
    console.print(table)
