"""What one pilot cost: in all, by month, by step; its budget, and where it asks for too much."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from pilotage.console.api.parameters import ActorParameter, DeskParameter, SinceParameter
from pilotage.console.operations.execution import costs
from pilotage.console.operations.execution.costs import Costs, MonthCost
from pilotage.console.pages import rendering, words
from pilotage.console.pages.figures import series
from pilotage.console.pages.figures.series import Dot, Line
from pilotage.console.views import costs as views

router = APIRouter()

_NAMES = ("CPU time", "GPU time", "Most memory", "Energy", "CO₂", "Cost")


@router.get("/pilots/{pilot}/costs")
def show_costs(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, since: SinceParameter = None
) -> HTMLResponse:
    """What a pilot cost."""
    found = costs.get_costs(desk, actor, pilot, since=since)
    return rendering.page(
        request,
        "pilot_costs.html.j2",
        actor=actor,
        costs=found,
        facts=_facts(found),
        chart=_chart(found),
        cells=views.cells,
        basis=views.basis,
    )


def _facts(found: Costs) -> list[tuple[str, str]]:
    facts = [(name, text) for name, text in zip(_NAMES, views.cells(found.total), strict=True) if text != "–"]
    serving = found.serving
    if serving is not None:
        facts.append(("Rows served", words.number(serving.rows)))
        if serving.per_thousand is not None:
            taken = views.cells(serving.per_thousand)
            facts += [("A thousand predictions", taken[0]), ("Their energy", taken[3])]
            facts += [("Their cost", taken[5])] if serving.per_thousand.cost is not None else []
    if found.stored_bytes:
        facts.append(("Snapshots", words.bytes_of(found.stored_bytes)))
    if found.stored_cost_per_month and found.prices is not None:
        facts.append(("Keeping them", f"{found.stored_cost_per_month:.2g} {found.prices.currency} a month"))
    return facts


def _chart(found: Costs) -> Markup:
    """Money by month, CPU hours where there are no prices; nothing of a single month."""
    months = [month for month in reversed(found.by_month) if month.training is not None]
    if len(months) < 2:
        return Markup("")
    priced = found.prices is not None
    what = f"Cost in {found.prices.currency}" if found.prices is not None else "CPU hours"
    dots = [Dot(_begin(month.month), _amount(month, priced=priced)) for month in months]
    return series.chart("months", f"{what} by month", [Line(what, "first", dots)], zero=True, stairs=True)


def _begin(month: str) -> datetime:
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def _amount(month: MonthCost, *, priced: bool) -> float:
    bill = month.training
    if bill is None:
        return 0.0
    return bill.cost.total if priced and bill.cost is not None else bill.cpu_seconds / 3600
