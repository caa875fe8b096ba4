"""The audit on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.console.operations.evidence.audits import Line
    from pilotage.pipelines.journals.audits import Verification


def show(console: Console, lines: Sequence[Line]) -> None:
    """Records, as they come."""
    if not lines:
        console.print("No record is like that.")
        return
    table = tables.table(
        "record", "when (UTC)", "who", "what", "pilot", "version", "why", right=("record", "version")
    )
    for line in lines:
        version = "–" if line.version is None else str(line.version)
        pilot, why = line.pilot or "–", escape(line.why) or "–"
        table.add_row(
            str(line.id), tables.moment(line.at), escape(line.who), line.action, pilot, version, why
        )
    console.print(table)


def show_verification(console: Console, found: Verification) -> None:
    """Whether the audit is whole."""
    if found.problem is not None:
        console.print(found.problem.message)
        console.print(f"Up to record {found.head.id} it is as it was written.")
        return
    console.print(f"{found.records} records, none changed, removed or moved.")
    console.print(f"Head: {found.head}", soft_wrap=True)
