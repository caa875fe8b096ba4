"""`/api/v1/monitors` and, of one pilot, `monitor`, `windows` and `value`: what the monitor found."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    LimitParameter,
    Moment,
    OptionalVersionParameter,
    SearchParameter,
    SinceParameter,
    UntilParameter,
    VersionParameter,
)
from pilotage.console.operations.listings import Listing
from pilotage.console.operations.monitoring import drifts, monitors, values
from pilotage.console.operations.monitoring.drifts import MOST_WINDOWS, Distribution, Matrix, Of
from pilotage.console.operations.monitoring.monitors import Monitor, Window
from pilotage.console.operations.monitoring.values import Period, Value
from pilotage.core.artifacts import DriftReport

router = APIRouter(tags=["monitoring"])

StartParameter = Annotated[Moment, Path(description="When the window begins.")]


@router.get("/monitors")
def list_monitors(
    desk: DeskParameter,
    actor: ActorParameter,
    search: SearchParameter = "",
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Monitor]:
    """Where each pilot stands."""
    return monitors.list_monitors(desk, actor, search=search, cursor=cursor, limit=limit)


@router.get("/pilots/{pilot}/monitor")
def get_monitor(desk: DeskParameter, actor: ActorParameter, pilot: str) -> Monitor:
    """Where one pilot stands."""
    return monitors.get_monitor(desk, actor, pilot)


@router.get("/pilots/{pilot}/monitor/matrix")
def get_matrix(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: OptionalVersionParameter = None,
    until: UntilParameter = None,
    windows: Annotated[int, Query(ge=1, le=MOST_WINDOWS)] = 60,
) -> Matrix:
    """Drift of features over time."""
    return drifts.get_matrix(desk, actor, pilot, version=version, until=until, windows=windows)


@router.get("/pilots/{pilot}/windows")
def list_windows(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: OptionalVersionParameter = None,
    since: SinceParameter = None,
    until: UntilParameter = None,
    drifted: bool | None = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Window]:
    """Closed windows, newest first."""
    return monitors.list_windows(
        desk,
        actor,
        pilot,
        version=version,
        since=since,
        until=until,
        drifted=drifted,
        cursor=cursor,
        limit=limit,
    )


@router.get("/pilots/{pilot}/windows/{version}/{start}")
def get_window(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter, start: StartParameter
) -> Window:
    """One closed window."""
    return monitors.get_window(desk, actor, pilot, version, start)


@router.get("/pilots/{pilot}/windows/{version}/{start}/report")
def get_report(
    desk: DeskParameter, actor: ActorParameter, pilot: str, version: VersionParameter, start: StartParameter
) -> DriftReport:
    """All that the monitor found of a window."""
    return drifts.read_report(desk, actor, pilot, version, start)


@router.get("/pilots/{pilot}/windows/{version}/{start}/distribution")
def get_distribution(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: VersionParameter,
    start: StartParameter,
    of: Of = Of.FEATURE,
    feature: Annotated[str, Query(description="With `of=feature`: its name.")] = "",
) -> Distribution:
    """A feature in one window beside the reference, or what the model said."""
    return drifts.get_distribution(desk, actor, pilot, version, start, of=of, feature=feature)


@router.get("/pilots/{pilot}/value")
def get_value(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    since: SinceParameter = None,
    until: UntilParameter = None,
    period: Period | None = None,
) -> Value:
    """What the pilot has brought."""
    return values.get_value(desk, actor, pilot, since=since, until=until, period=period)
