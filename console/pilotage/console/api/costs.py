"""`costs` of a run and of a pilot: time, memory, energy, CO2 and money."""

from __future__ import annotations

from fastapi import APIRouter

from pilotage.console.api.parameters import ActorParameter, DeskParameter, SinceParameter, UntilParameter
from pilotage.console.operations.execution import costs
from pilotage.console.operations.execution.costs import Costs, RunCost

router = APIRouter(tags=["costs"])


@router.get("/pilots/{pilot}/costs")
def get_costs(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    since: SinceParameter = None,
    until: UntilParameter = None,
) -> Costs:
    """What a pilot cost, by month, by kind, by step and by prediction."""
    return costs.get_costs(desk, actor, pilot, since=since, until=until)


@router.get("/runs/{run}/costs")
def get_run_costs(desk: DeskParameter, actor: ActorParameter, run: str) -> RunCost:
    """What one run cost, by step."""
    return costs.get_run_cost(desk, actor, run)
