"""Versions of a pilot on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from pilotage.console.views import tables
from pilotage.core.registry.tags import DECISION_TAG, FORM_TAG

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.core.artifacts import Scorecard
    from pilotage.core.registry import Registered


def show_versions(
    console: Console, versions: Sequence[Registered], scorecards: Mapping[int, Scorecard | None]
) -> None:
    """A table, newest first."""
    metric = next((card.metric for card in scorecards.values() if card), "metric")
    table = tables.table(
        "version", "alias", metric, "95 % interval", "gates", "decision", "form", "snapshot", "made (UTC)",
        right=("version", metric, "95 % interval"),
    )  # fmt: skip
    for registered in versions:
        card = scorecards[registered.version]
        found = card.metrics.get(card.metric) if card else None
        decision = registered.tags.get(DECISION_TAG)
        table.add_row(
            str(registered.version),
            Text(", ".join(registered.aliases) or "–", style="bold" if registered.aliases else ""),
            tables.number(found.value if found else None),
            f"{tables.number(found.low)} to {tables.number(found.high)}"
            if found and found.low is not None
            else "–",
            f"{sum(gate.passed for gate in card.gates)} of {len(card.gates)}" if card else "–",
            tables.state(decision) if decision else "–",
            registered.tags.get(FORM_TAG, "–").partition(":")[0],
            card.snapshot[:12] if card else "–",
            tables.moment(registered.created_at),
        )
    console.print(table)
