"""Where pilots stand, at a glance: goal, live version, traffic, health, drift, runs, schedule, value.

One question to the database for each kind of fact, however many pilots a page
holds. Everything is told elsewhere too, and in full; nothing is judged here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, union_all

from pilotage.console.access.actors import Actor
from pilotage.console.operations import pilots, services, sights
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.operations.monitoring import values
from pilotage.console.operations.pilots import Pilot
from pilotage.console.supervision.states import ServiceState
from pilotage.core.registry import Registered
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.decisions.approvals import ApprovalState
from pilotage.pipelines.retraining.observations import AlarmState
from pilotage.pipelines.retraining.schedules import ScheduleState

WINDOWS = 30
"""Latest windows that a sparkline shows."""
_RUN_TAG = "pilotage.run"


class Ground(StrEnum):
    """What a standing rests on."""

    LABELS = "labels"
    ESTIMATE = "estimate"
    TEST = "test"
    """Held-out rows of the training data."""


class Standing(Model):
    """Where a pilot stands against its goal; metrics are greater-is-better."""

    metric: str
    target: float | None
    value: float | None = None
    ground: Ground | None = None
    at: datetime | None = None
    """End of the window that it is of; null for held-out rows."""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is no target or no value."""
        return None if self.target is None or self.value is None else self.value >= self.target


class Glance(Model):
    """One window."""

    version: int
    start: datetime
    end: datetime
    rows: int
    errors: int
    drifted: int
    metric: float | None
    """The goal's, from labels where they came, estimated otherwise."""
    realized: bool


class Worry(Model):
    """Alarms of a pilot that are not over."""

    count: int
    acknowledged: int
    latest: str
    cause: str
    at: datetime


class LastRun(Model):
    """The latest run of a pilot."""

    id: str
    state: str
    asked_at: datetime
    asked_by: str
    ended_at: datetime | None
    message: str


class Health(Model):
    """What keeps a pilot served."""

    state: ServiceState
    url: str | None
    detail: str


class Overview(Model):
    """A pilot at a glance."""

    name: str
    owner: str
    description: str
    standing: Standing
    version: int | None
    """Champion."""
    since: datetime | None
    """When the champion was made."""
    waiting: tuple[int, ...]
    """Versions that wait for a person."""
    windows: tuple[Glance, ...]
    """The latest, oldest first."""
    worry: Worry | None
    snoozed_until: datetime | None
    health: Health | None
    last_run: LastRun | None
    next_at: datetime | None
    value: values.Amount | None


def list_overviews(
    desk: Desk, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 50
) -> Listing[Overview]:
    """Pilots that the actor may look at, by name, with where each stands."""
    listing = pilots.list_pilots(desk, actor, search=search, cursor=cursor, limit=limit)
    return Listing(items=tuple(_tell(desk, actor, listing.items)), next=listing.next)


def get_overview(desk: Desk, actor: Actor, name: str) -> Overview:
    """One pilot.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    return _tell(desk, actor, [pilots.get_pilot(desk, actor, name)])[0]


def list_names(desk: Desk, actor: Actor) -> list[str]:
    """Names of all pilots that the actor may look at."""
    query = select(tables.pilots.c.name).order_by(tables.pilots.c.name)
    query = query.where(sights.visible(actor, tables.pilots.c.name))
    with tables.reading(desk.engine) as connection:
        return list(connection.scalars(query))


def _tell(desk: Desk, actor: Actor, found: Sequence[Pilot]) -> list[Overview]:
    names = [pilot.name for pilot in found]
    if not names:
        return []
    specs = {pilot.name: PilotSpec.model_validate(pilot.spec) for pilot in found}
    champions = desk.registry.champions(names)
    brought = values.totals(desk, actor, names)
    health = _health(desk, actor)
    with tables.reading(desk.engine) as connection:
        windows = _windows(connection, specs)
        tests = _tests(connection, champions)
        facts: dict[str, Mapping[str, Any]] = {
            "waiting": _waiting(connection, names),
            "worry": _worries(connection, names),
            "snoozed_until": _snoozes(connection, names),
            "last_run": _last_runs(connection, names),
            "next_at": _next(connection, names),
        }
    told = []
    for pilot in found:
        champion = champions.get(pilot.name)
        own = windows.get(pilot.name, ())
        rest = {name: known.get(pilot.name) for name, known in facts.items()}
        rest["waiting"] = rest["waiting"] or ()
        told.append(
            Overview(
                name=pilot.name,
                owner=pilot.owner,
                description=pilot.description,
                standing=_standing(specs[pilot.name], _served_by(champion, own), tests.get(pilot.name, {})),
                version=champion.version if champion else None,
                since=champion.created_at if champion else None,
                windows=own,
                value=brought.get(pilot.name),
                health=health.get(pilot.name),
                **rest,
            )
        )
    return told


def _served_by(champion: Registered | None, windows: Sequence[Glance]) -> list[Glance]:
    """Windows of the version that serves now: what another one did tells nothing of it."""
    return [window for window in windows if champion is None or window.version == champion.version]


def _standing(spec: PilotSpec, windows: Sequence[Glance], test: Mapping[str, float]) -> Standing:
    goal = spec.goal
    for ground, wanted in ((Ground.LABELS, True), (Ground.ESTIMATE, False)):
        for window in reversed(windows):
            if window.metric is not None and window.realized is wanted:
                return Standing(
                    metric=goal.metric, target=goal.target, value=window.metric, ground=ground, at=window.end
                )
    value = test.get(goal.metric)
    ground_of = Ground.TEST if value is not None else None
    return Standing(metric=goal.metric, target=goal.target, value=value, ground=ground_of)


def _each(
    connection: Connection, names: Iterable[str], query_of: Callable[[str], Select[Any]]
) -> Iterable[Row[Any]]:
    """Rows of one short query a pilot, asked together: each finds its few rows by index."""
    parts = [select(query_of(name).subquery()) for name in names]
    return connection.execute(union_all(*parts))


def _windows(connection: Connection, specs: Mapping[str, PilotSpec]) -> dict[str, tuple[Glance, ...]]:
    table = tables.windows
    columns = (
        *(
            table.c.pilot,
            table.c.version,
            table.c.start,
            table.c.end,
            table.c.rows,
            table.c.errors,
            table.c.drifted,
        ),
        *(table.c.metric, table.c.realized, table.c.estimated),
    )

    def latest(name: str) -> Select[Any]:
        return select(*columns).where(table.c.pilot == name).order_by(table.c.start.desc()).limit(WINDOWS)

    found: dict[str, list[Glance]] = defaultdict(list)
    for row in _each(connection, specs, latest):
        known = row.metric == specs[row.pilot].goal.metric
        realized = known and row.realized is not None
        found[row.pilot].append(
            Glance(
                version=row.version,
                start=row.start,
                end=row.end,
                rows=row.rows,
                errors=row.errors,
                drifted=row.drifted,
                metric=(row.realized if realized else row.estimated) if known else None,
                realized=realized,
            )
        )
    return {name: tuple(sorted(items, key=lambda item: item.start)) for name, items in found.items()}


def _tests(connection: Connection, champions: Mapping[str, Registered]) -> dict[str, dict[str, float]]:
    """What each champion scored on held-out rows, from the run that made it."""
    table = tables.runs
    made = {item.tags[_RUN_TAG]: name for name, item in champions.items() if _RUN_TAG in item.tags}
    query = select(table.c.id, table.c.result).where(table.c.id.in_(made))
    return {
        made[row.id]: {
            key: value for key, value in (row.result or {}).get("metrics", {}).items() if value is not None
        }
        for row in (connection.execute(query) if made else ())
    }


def _waiting(connection: Connection, names: Collection[str]) -> dict[str, tuple[int, ...]]:
    table = tables.approvals
    query = select(table.c.pilot, table.c.version).where(
        table.c.pilot.in_(names), table.c.state == ApprovalState.PENDING
    )
    found: dict[str, tuple[int, ...]] = {}
    for row in connection.execute(query.order_by(table.c.version)):
        found[row.pilot] = (*found.get(row.pilot, ()), row.version)
    return found


def _worries(connection: Connection, names: Collection[str]) -> dict[str, Worry]:
    table = tables.alarms
    query = (
        select(table.c.pilot, table.c.state, table.c.message, table.c.cause, table.c.end)
        .where(table.c.state.in_((AlarmState.OPEN, AlarmState.ACKNOWLEDGED)), table.c.pilot.in_(names))
        .order_by(table.c.end)
    )
    found: dict[str, Worry] = {}
    for row in connection.execute(query):
        before = found.get(row.pilot)
        seen = row.state == AlarmState.ACKNOWLEDGED
        found[row.pilot] = Worry(
            count=1 + (before.count if before else 0),
            acknowledged=seen + (before.acknowledged if before else 0),
            latest=row.message,
            cause=row.cause,
            at=row.end,
        )
    return found


def _snoozes(connection: Connection, names: Collection[str]) -> dict[str, datetime]:
    table = tables.snoozes
    query = select(table.c.pilot, table.c.until).where(table.c.pilot.in_(names), table.c.until > tables.now())
    return {row.pilot: row.until for row in connection.execute(query)}


def _health(desk: Desk, actor: Actor) -> dict[str, Health]:
    """The service of each pilot that is worst off."""
    found: dict[str, Health] = {}
    for item in services.list_services(desk, actor).items:
        if item.pilot is not None and (
            item.pilot not in found or found[item.pilot].state == ServiceState.RUNNING
        ):
            found[item.pilot] = Health(state=item.state, url=item.url, detail=item.detail)
    return found


def _last_runs(connection: Connection, names: Collection[str]) -> dict[str, LastRun]:
    table = tables.runs
    columns = (table.c.pilot, table.c.id, table.c.state, table.c.asked_at, table.c.asked_by, table.c.ended_at)

    def latest(name: str) -> Select[Any]:
        query = select(*columns, table.c.error).where(table.c.pilot == name)
        return query.order_by(table.c.asked_at.desc(), table.c.id.desc()).limit(1)

    return {
        row.pilot: LastRun(
            id=row.id,
            state=row.state,
            asked_at=row.asked_at,
            asked_by=row.asked_by,
            ended_at=row.ended_at,
            message=str((row.error or {}).get("message", "")),
        )
        for row in _each(connection, names, latest)
    }


def _next(connection: Connection, names: Collection[str]) -> dict[str, datetime]:
    table = tables.schedules
    query = (
        select(table.c.pilot, func.min(table.c.next_at).label("at"))
        .where(table.c.pilot.in_(names), table.c.state == ScheduleState.ACTIVE, table.c.next_at.is_not(None))
        .group_by(table.c.pilot)
    )
    return {row.pilot: row.at for row in connection.execute(query)}
