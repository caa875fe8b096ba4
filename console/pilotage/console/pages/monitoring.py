"""What the monitor found: of all pilots, and of one by feature, window and label; what is done about it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    Moment,
    OptionalVersionParameter,
    SearchParameter,
)
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import runs, triggers
from pilotage.console.operations.monitoring import alarms, drifts, monitors, values
from pilotage.console.operations.monitoring.drifts import Distribution, Matrix, Of
from pilotage.console.operations.monitoring.monitors import Window
from pilotage.console.operations.monitoring.values import Value
from pilotage.console.pages import rendering, words
from pilotage.console.pages.figures import distributions, heatmaps, series
from pilotage.console.pages.figures.series import Dot, Line
from pilotage.core import durations, errors
from pilotage.pipelines.retraining.observations import AlarmState

router = APIRouter()

Why = Annotated[str, Form(max_length=1000)]
SNOOZES = (("6h", "6 hours"), ("1d", "a day"), ("3d", "3 days"), ("1w", "a week"), ("4w", "4 weeks"))
"""How long a snooze may be, as the form offers it."""
_WINDOWS, _FEATURES, _ALARMS, _TRIGGERS = 48, 20, 20, 10


@router.get("/monitoring")
def show_monitors(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    search: SearchParameter = "",
    cursor: CursorParameter = None,
) -> HTMLResponse:
    """Alarms of all pilots, and where each stands."""
    return rendering.page(
        request,
        "monitoring.html.j2",
        actor=actor,
        listing=monitors.list_monitors(desk, actor, search=search, cursor=cursor),
        alarms=alarms.list_alarms(desk, actor, state=AlarmState.OPEN, limit=_ALARMS),
        search=search,
        first=cursor is not None,
        stands=stands,
    )


@router.get("/pilots/{pilot}/monitoring")
def show_monitor(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    version: OptionalVersionParameter = None,
    start: Annotated[Moment | None, Query()] = None,
    of: Of = Of.FEATURE,
    feature: str = "",
    until: Annotated[Moment | None, Query()] = None,
    all_features: Annotated[bool, Query(alias="all")] = False,
) -> HTMLResponse:
    """What the monitor found of one pilot; one window is shown closely, the last when none is named."""
    monitor = monitors.get_monitor(desk, actor, pilot)
    matrix = drifts.get_matrix(desk, actor, pilot, until=until, windows=_WINDOWS)
    shown = _chosen(desk, actor, pilot, matrix, version, start)
    picture = None if shown is None else _distribution(desk, actor, shown, matrix, of, feature)
    return rendering.page(
        request,
        "pilot_monitoring.html.j2",
        actor=actor,
        pilot=pilot,
        monitor=monitor,
        matrix=matrix,
        heat=_heat(pilot, matrix, shown, None if all_features else _FEATURES),
        hidden=0 if all_features else max(0, len(matrix.features) - _FEATURES),
        ranking=_ranking(matrix),
        earlier=matrix.windows[0].start if len(matrix.windows) == _WINDOWS else None,
        until=until,
        shown=shown,
        picture=picture,
        bars=None if picture is None else _bars(picture),
        cells=[]
        if picture is None
        else list(zip(picture.labels, picture.reference, picture.window, strict=True)),
        line=_metric_line(monitor, matrix),
        score_line=_score_line(matrix),
        value=_value(desk, actor, pilot),
        money_line=_money_line,
        alarms=alarms.list_alarms(desk, actor, pilot=pilot, limit=_ALARMS).items,
        triggers=triggers.list_triggers(desk, actor, pilot=pilot, limit=_TRIGGERS).items,
        snooze=triggers.get_snooze(desk, actor, pilot),
        snoozes=SNOOZES,
        may=actor.may(Permission.OPERATE, pilot),
        address=lambda window, name="": address(pilot, window, name),
        stands=stands,
    )


@router.post("/pilots/{pilot}/alarms/{alarm}/acknowledge")
def acknowledge(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    alarm: str,
    why: Why = "",
    back: Annotated[str, Form()] = "",
) -> RedirectResponse:
    """Say that an alarm was seen."""
    alarms.acknowledge(desk, actor, pilot, alarm, why=why)
    place = "/monitoring" if back == "all" else _page(pilot)
    return rendering.see(request, place, f"The alarm of {pilot} is acknowledged.")


@router.post("/pilots/{pilot}/snooze")
def snooze(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    duration: Annotated[str, Form(max_length=20)],
    why: Why,
) -> RedirectResponse:
    """Let no retraining start for a while."""
    try:
        length = durations.parse(duration)
    except ValueError as error:
        raise errors.SettingsError(
            f"`{duration}` is not how long a snooze can be: {error}.", remedy="Choose one of the list."
        ) from error
    made = triggers.snooze(desk, actor, pilot, length, why=why)
    return rendering.see(
        request, _page(pilot), f"No retraining of {pilot} starts before {words.instant(made.until)}."
    )


@router.post("/pilots/{pilot}/unsnooze")
def unsnooze(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, why: Why = ""
) -> RedirectResponse:
    """End a snooze."""
    ended = triggers.unsnooze(desk, actor, pilot, why=why)
    told = f"{pilot} is snoozed no more." if ended else f"{pilot} was not snoozed."
    return rendering.see(request, _page(pilot), told)


@router.post("/pilots/{pilot}/retrain")
def retrain(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, why: Why = ""
) -> RedirectResponse:
    """Ask for a run now."""
    run = runs.start_run(desk, actor, pilot, why=why or "retraining was asked for")
    return rendering.see(request, f"/runs/{run.id}", f"{pilot} will be trained again.")


def _page(pilot: str) -> str:
    return f"/pilots/{words.segment(pilot)}/monitoring"


def address(pilot: str, window: Window, feature: str = "") -> str:
    """The page of a pilot with one window, and one feature of it, shown closely."""
    query = {"version": str(window.version), "start": f"{window.start:%Y-%m-%dT%H:%M:%SZ}"}
    if feature:
        query["feature"] = feature
    return f"{_page(pilot)}?{urlencode(query)}#window"


def stands(value: float | None, target: float | None) -> str:
    """How a value stands against the target: `met`, `missed`, or nothing where there is none."""
    if value is None or target is None:
        return ""
    return "met" if value >= target else "missed"


def _chosen(
    desk: Desk, actor: Actor, pilot: str, matrix: Matrix, version: int | None, start: Any
) -> Window | None:
    """The window that is asked for, or the last."""
    if version is not None and start is not None:
        return monitors.get_window(desk, actor, pilot, version, start)
    return matrix.windows[-1] if matrix.windows else None


def _distribution(
    desk: Desk, actor: Actor, shown: Window, matrix: Matrix, of: Of, feature: str
) -> Distribution | None:
    """The feature that is asked for, or the one that differs most in the window; None without a report."""
    try:
        if of is Of.FEATURE and not feature:
            feature = _most_different(matrix, shown)
        return drifts.get_distribution(
            desk, actor, shown.pilot, shown.version, shown.start, of=of, feature=feature
        )
    except errors.NotFound:
        return None


def _most_different(matrix: Matrix, shown: Window) -> str:
    place = next((place for place, window in enumerate(matrix.windows) if window == shown), None)
    if place is None:
        return matrix.features[0] if matrix.features else ""
    held = [(name, row[place]) for name, row in zip(matrix.features, matrix.cells, strict=True)]
    known = [(cell.drifted, cell.effect, name) for name, cell in held if cell is not None]
    return max(known)[2] if known else ""


def _heat(pilot: str, matrix: Matrix, shown: Window | None, most: int | None) -> Any:
    columns = [heatmaps.Column(window.version, window.start) for window in matrix.windows]
    rows = [
        (name, [None if cell is None else heatmaps.Cell(cell.effect, cell.drifted) for cell in cells])
        for name, cells in zip(matrix.features[:most], matrix.cells[:most], strict=True)
    ]
    chosen = next((place for place, window in enumerate(matrix.windows) if window == shown), None)
    return heatmaps.heatmap(
        columns, rows, matrix.limit, lambda place, name: address(pilot, matrix.windows[place], name), chosen
    )


def _ranking(matrix: Matrix) -> list[dict[str, Any]]:
    """By feature, what the map tells: how often it drifted, when most, and how it is now."""
    found = []
    for name, cells in zip(matrix.features, matrix.cells, strict=True):
        held = [
            (cell, window) for cell, window in zip(cells, matrix.windows, strict=True) if cell is not None
        ]
        if held:
            most, when = max(held, key=lambda pair: pair[0].effect)
            found.append(
                {
                    "name": name,
                    "times": sum(cell.drifted for cell, _ in held),
                    "windows": len(held),
                    "most": most,
                    "when": when,
                    "last": held[-1][0],
                }
            )
    return found


def _bars(picture: Distribution) -> Any:
    return distributions.bars(
        "distribution", picture.feature, picture.labels, picture.reference, picture.window
    )


def _metric_line(monitor: monitors.Monitor, matrix: Matrix) -> Any:
    """Estimated and realized performance of the windows."""
    realized = [_dot(window, window.realized) for window in matrix.windows if window.realized]
    estimated = [_dot(window, window.estimated) for window in matrix.windows if window.estimated]
    lines = [Line("realized, from labels", "first", realized), Line("estimated", "second", estimated)]
    title = f"{monitor.metric} by window, with 95 % intervals"
    return series.chart("performance", title, lines, target=monitor.target)


def _dot(window: Window, found: Any) -> Dot:
    return Dot(window.start, found.value, found.low, found.high)


def _score_line(matrix: Matrix) -> Any:
    dots = [Dot(window.start, window.score.effect) for window in matrix.windows if window.score]
    return series.chart(
        "scores",
        "How far the scores are from the reference, by window",
        [Line("population stability index of the scores", "first", dots)],
        target=matrix.limit,
        named="matters from here",
        zero=True,
    )


def _value(desk: Desk, actor: Actor, pilot: str) -> Value:
    return values.get_value(desk, actor, pilot)


def _money_line(value: Value) -> Any:
    """What was gained in each period: measured, and estimated for all rows."""
    known = [(point, point.amount) for point in value.points if point.amount and point.amount.labelled]
    measured = [Dot(point.start, amount.gain) for point, amount in known]
    return series.chart(
        "money",
        f"Measured gain against the baseline by {value.period}, in {value.currency}",
        [Line("measured gain", "first", measured)],
        zero=True,
        stairs=True,
    )
