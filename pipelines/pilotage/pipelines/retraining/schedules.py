"""Schedules: runs that the clock asks for, exactly once a moment, whoever leads.

A schedule comes from pilot.yaml (`retrain.schedule`, UTC) or from a person, who
gives a time zone. Firing is one transaction of the leader: the run is put in
line and the schedule moves on, or neither. After downtime one run makes up for
all moments that passed; a moment whose earlier run still goes on passes without
one. Both are counted as missed. Runs are started elsewhere.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, catalogues
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.queue import requests
from pilotage.pipelines.retraining import budgets

logger = logging.getLogger(__name__)

_WHO = "scheduler"
_MOST_COUNTED = 10_000
"""Moments that are counted after downtime; there may have been more."""


class Source(StrEnum):
    """Where a schedule comes from."""

    PILOT = "pilot.yaml"
    PERSON = "person"


class ScheduleState(StrEnum):
    """States of a schedule."""

    ACTIVE = "active"
    PAUSED = "paused"


def words(cron: str) -> str:
    """The cron expression in English."""
    return CronSim(cron, datetime.now(UTC)).explain()


def moments(cron: str, zone: ZoneInfo, after: datetime, count: int) -> tuple[datetime, ...]:
    """The next `count` moments after `after`, in `zone`; fewer where the expression has no more.

    Where clocks are put forward a moment that does not exist comes when they have been; where they are put
    back one that exists twice comes once, unless it is of every hour or minute.
    """
    found = []
    try:
        coming = CronSim(cron, after.astimezone(zone))
        for _ in range(count):
            found.append(next(coming))
    except StopIteration:
        pass
    return tuple(found)


def add(engine: Engine, pilot: str, cron: str, time_zone: str, who: str) -> str:
    """Make a schedule; returns its id.

    Raises:
        NotFound: the pilot was never taken in.
        SettingsError: the expression or the zone is wrong.
    """
    zone = _zone(time_zone)
    _check(cron)
    made = f"sch_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        catalogues.get(connection, pilot)
        _insert(connection, made, pilot, Source.PERSON, cron, zone, who)
        audits.write(connection, "schedule", pilot, who, "", schedule=made, cron=cron, time_zone=time_zone)
    return made


def pause(engine: Engine, schedule: str, who: str, why: str = "") -> None:
    """Let it ask for nothing until it is resumed.

    Raises:
        NotFound: there is no such schedule.
    """
    with engine.begin() as connection:
        row = _locked(connection, schedule)
        if row.state == ScheduleState.ACTIVE:
            _change(connection, schedule, state=ScheduleState.PAUSED, next_at=None)
            audits.write(connection, "pause", row.pilot, who, why, schedule=schedule)


def resume(engine: Engine, schedule: str, who: str, why: str = "") -> None:
    """Let it go on with its next moment; what passed meanwhile is not made up for.

    Raises:
        NotFound: there is no such schedule.
    """
    with engine.begin() as connection:
        row = _locked(connection, schedule)
        if row.state == ScheduleState.PAUSED:
            _change(connection, schedule, state=ScheduleState.ACTIVE, next_at=_following(row, row.cron))
            audits.write(connection, "resume", row.pilot, who, why, schedule=schedule)


def run_now(engine: Engine, schedule: str, who: str, why: str = "") -> str:
    """Put its run in line now; returns the run's id. While one that was so asked for waits, it is meant.

    Raises:
        NotFound: there is no such schedule.
    """
    table = tables.runs
    with engine.begin() as connection:
        row = _locked(connection, schedule)
        waiting = select(table.c.id).where(table.c.schedule == schedule, table.c.state == State.PENDING)
        known = connection.scalar(waiting.where(table.c.due_at.is_(None)).limit(1))
        if known is not None:
            return str(known)
        entry = catalogues.get(connection, row.pilot)
        request = requests.Request(entry.spec, entry.folder, who, why, schedule=schedule)
        run = requests.ask(connection, request)
        _change(connection, schedule, last_run=run)
    return run


def remove(engine: Engine, schedule: str, who: str, why: str = "") -> None:
    """Forget a schedule that a person made.

    Raises:
        NotFound: there is no such schedule.
        Conflict: it is written in pilot.yaml.
    """
    with engine.begin() as connection:
        row = _locked(connection, schedule)
        if row.source != Source.PERSON:
            raise errors.Conflict(
                f"Schedule `{schedule}` is written in the pilot.yaml of `{row.pilot}`.",
                remedy="Take `retrain.schedule` out there, or pause it.",
                schedule=schedule,
            )
        _forget(connection, row, who, why)


def sync(engine: Engine, lease: Lease | None = None) -> None:
    """Let the schedules that are written in pilot.yaml be as the catalogue of pilots has them."""
    table = tables.schedules
    with tables.reading(engine) as connection:
        written = select(table.c.pilot, table.c.cron).where(table.c.source == Source.PILOT)
        held = {row.pilot: row.cron for row in connection.execute(written)}
        wanted = {
            entry.name: entry.spec.retrain.schedule
            for entry in catalogues.entries(connection)
            if entry.spec.retrain.schedule is not None
        }
    for pilot in sorted(held.keys() | wanted.keys()):
        if held.get(pilot) != wanted.get(pilot):
            with engine.begin() as connection:
                leases.require(connection, lease)
                _write(connection, pilot, wanted.get(pilot))


def fire(
    engine: Engine,
    lease: Lease | None,
    clock: datetime | None = None,
    *,
    written: bool = True,
    settings: Settings | None = None,
) -> list[str]:
    """Put in line what is due; returns the runs' ids.

    Without `written` only what people made: another clock has what is written in pilot.yaml.

    Args:
        engine: the database.
        lease: the leader's; every transaction makes sure of it. None where nobody else can be.
        clock: the time; now when left out.
        written: whether also what pilot.yaml says.
        settings: the installation, whose prices tell whether a month's budget is spent; none is looked at
            without it.

    Raises:
        LeaseLost: another process leads.
    """
    table, at = tables.schedules, clock or tables.now()
    due = select(table.c.id).where(table.c.state == ScheduleState.ACTIVE, table.c.next_at <= at)
    if not written:
        due = due.where(table.c.source == Source.PERSON)
    with tables.reading(engine) as connection:
        waiting = connection.scalars(due.order_by(table.c.next_at)).all()
    fired = []
    for schedule in waiting:
        try:
            with engine.begin() as connection:
                leases.require(connection, lease)
                run = _fire(connection, schedule, at, settings)
        except errors.LeaseLost:
            raise
        except (errors.PilotageError, CronSimError, IntegrityError, LookupError, ValueError) as error:
            logger.warning("schedule %s cannot ask for its run; others go on: %s", schedule, error)
            continue
        if run is not None:
            fired.append(run)
    return fired


def unknown(schedule: str) -> errors.NotFound:
    """What is said of a schedule that is not there, or that somebody may not know of."""
    return errors.NotFound(
        f"There is no schedule `{schedule}`.", remedy="`pilotage schedules` lists them.", schedule=schedule
    )


def _fire(connection: Connection, schedule: str, at: datetime, settings: Settings | None) -> str | None:
    row = _locked(connection, schedule)
    if row.state != ScheduleState.ACTIVE or row.next_at is None or row.next_at > at:
        return None
    passed, following = _passed(row, at)
    moved: dict[str, Any] = {"next_at": following, "last_due_at": passed[-1]}
    runs = tables.runs
    active = select(func.count()).where(
        runs.c.schedule == schedule, runs.c.state.in_((State.PENDING, State.RUNNING))
    )
    if connection.scalar(active):
        _change(connection, schedule, **moved, missed=row.missed + len(passed))
        logger.info("schedule %s of %s: its earlier run has not ended", schedule, row.pilot)
        return None
    entry = catalogues.get(connection, row.pilot)
    if settings is not None and budgets.refuse(connection, settings, entry.spec, at) is not None:
        _change(connection, schedule, **moved, missed=row.missed + len(passed))
        return None
    why = f"due at {passed[-1].astimezone(ZoneInfo(row.time_zone)):%Y-%m-%d %H:%M %Z}"
    if len(passed) > 1:
        why += f"; makes up for {len(passed)} moments that passed"
        missed = {"moments": len(passed), "first": passed[0], "last": passed[-1]}
        audits.write(
            connection,
            "catch-up",
            row.pilot,
            _WHO,
            "nothing was there to start them",
            schedule=schedule,
            missed=missed,
        )
    request = requests.Request(entry.spec, entry.folder, _WHO, why, schedule=schedule, due_at=passed[-1])
    run = requests.ask(connection, request)
    _change(connection, schedule, **moved, last_run=run, missed=row.missed + len(passed) - 1)
    return run


def _passed(row: Row[Any], at: datetime) -> tuple[list[datetime], datetime | None]:
    """Moments from the one that is due up to `at`, at least one, and the one after them."""
    zone = ZoneInfo(row.time_zone)
    found = [row.next_at]
    coming = CronSim(row.cron, row.next_at.astimezone(zone))
    for moment in coming:
        if moment > at:
            return found, moment
        found.append(moment.astimezone(UTC))
        if len(found) == _MOST_COUNTED:
            found[-1] = _last(row.cron, zone, at)
            return found, _next(row.cron, zone, at)
    return found, None


def _last(cron: str, zone: ZoneInfo, at: datetime) -> datetime:
    """The last moment that is not after `at`."""
    return next(CronSim(cron, (at + timedelta(seconds=1)).astimezone(zone), reverse=True)).astimezone(UTC)


def _next(cron: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    found = moments(cron, zone, after, 1)
    return found[0] if found else None


def _following(row: Row[Any], cron: str) -> datetime | None:
    """The next moment from now on, after the last one that was due: a clock may have been put back."""
    after = max(tables.now(), row.last_due_at or row.created_at)
    return _next(cron, ZoneInfo(row.time_zone), after)


def _write(connection: Connection, pilot: str, cron: str | None) -> None:
    """The schedule that pilot.yaml says, if any; one that is paused stays so."""
    table = tables.schedules
    row = connection.execute(select(table).where(table.c.id == pilot).with_for_update()).first()
    if cron is None:
        if row is not None:
            _forget(connection, row, Source.PILOT, "it is not in pilot.yaml any more")
        return
    if row is None:
        _insert(connection, pilot, pilot, Source.PILOT, cron, ZoneInfo("UTC"), Source.PILOT)
    else:
        active = row.state == ScheduleState.ACTIVE
        _change(connection, row.id, cron=cron, next_at=_following(row, cron) if active else None)
    audits.write(connection, "schedule", pilot, Source.PILOT, "", schedule=pilot, cron=cron, time_zone="UTC")


def _insert(
    connection: Connection,
    made: str,
    pilot: str,
    source: Source,
    cron: str,
    zone: ZoneInfo,
    who: str,
) -> None:
    created = tables.now()  # the moments that it asks for, or misses, are those after this one
    row: Mapping[str, Any] = {
        "id": made,
        "pilot": pilot,
        "source": source,
        "cron": cron,
        "time_zone": zone.key,
        "state": ScheduleState.ACTIVE,
        "next_at": _next(cron, zone, created),
        "missed": 0,
        "created_at": created,
        "created_by": who,
    }
    connection.execute(insert(tables.schedules), row)


def _forget(connection: Connection, row: Row[Any], who: str, why: str) -> None:
    connection.execute(delete(tables.schedules).where(tables.schedules.c.id == row.id))
    audits.write(connection, "unschedule", row.pilot, who, why, schedule=row.id, cron=row.cron)


def _change(connection: Connection, schedule: str, **values: Any) -> None:
    connection.execute(update(tables.schedules).where(tables.schedules.c.id == schedule), values)


def _locked(connection: Connection, schedule: str) -> Row[Any]:
    row = connection.execute(
        select(tables.schedules).where(tables.schedules.c.id == schedule).with_for_update()
    ).first()
    if row is None:
        raise unknown(schedule)
    return row


def _check(cron: str) -> None:
    try:
        CronSim(cron, datetime.now(UTC))
    except CronSimError as error:
        raise errors.SettingsError(
            f"`{cron}` is not a cron expression ({error}).",
            remedy="Write minute, hour, day, month and weekday, such as `0 3 * * 1`.",
        ) from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise errors.SettingsError(
            f"`{name}` is not a time zone.", remedy="Write a name such as `Europe/Berlin`, or `UTC`."
        ) from error
