"""Two tables beside each other on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from pilotage.console.views import tables

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.serving.monitor.tables import TableDrift

_MOST_QUIET = 5
"""Columns without drift that are shown."""


def show(console: Console, found: TableDrift) -> None:
    """What drifted, and the largest of what did not."""
    table = tables.table(
        "column", "", "PSI", "95 %", "distance", "p", "missing", "what",
        right=("PSI", "distance", "p", "missing"),
    )  # fmt: skip
    drifted = found.drifted
    for part in (*drifted, *found.columns[len(drifted) :][:_MOST_QUIET]):
        table.add_row(
            escape(part.feature),
            "[red]drifted[/]" if part.drifted else "[green]same[/]",
            f"{part.psi:.3f}",
            f"{part.psi_low:.3f} to {part.psi_high:.3f}",
            f"{part.distance:.3f}",
            f"{part.p_value:.2g}",
            f"{part.missing_rate:.1%}",
            escape(part.reason),
        )
    console.print(table)
    quiet = len(found.columns) - len(drifted)
    console.print(
        f"{len(drifted)} of {len(found.columns)} columns drifted in {found.rows:,} rows, against"
        f" {found.reference_rows:,} of the reference; {quiet} did not."
    )
    for name, reason in found.left_out.items():
        console.print(f"[dim]{escape(name)} was not compared: {escape(reason)}[/]")
