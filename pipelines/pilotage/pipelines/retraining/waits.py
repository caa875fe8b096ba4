"""What keeps a retraining from starting, and until when: a snooze, the cooldown, the budget, quiet hours.

Cooldown and budget are counted in the data's own time, as a replay and a live
service have it in common; people and nights are on the clock. Nothing is lost by
waiting, and nothing is started from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from pilotage.core import errors
from pilotage.core.artifacts import Wait
from pilotage.core.settings import Settings
from pilotage.core.specs import Retrain, quiet_until
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.machines import people


@dataclass(frozen=True)
class Waiting:
    """What a trigger waits for."""

    reason: Wait
    until: datetime
    """In the data's own time for cooldown and budget, else on the clock."""


@dataclass(frozen=True)
class Snooze:
    """A person's wish that a pilot is not trained again for a while."""

    pilot: str
    until: datetime
    who: str
    why: str
    at: datetime


def find(
    connection: Connection,
    pilot: str,
    retrain: Retrain,
    reached: datetime,
    started: Sequence[datetime],
    clock: datetime,
) -> Waiting | None:
    """What a retraining waits for, the first of several; None when it may start.

    Args:
        connection: where a snooze is looked up.
        pilot: whose.
        retrain: its rules.
        reached: how far the data's own time has come.
        started: the same of each retraining that was carried out.
        clock: the time.
    """
    snoozed = _snooze(connection, pilot)
    if snoozed is not None and clock < snoozed.until:
        return Waiting(Wait.SNOOZE, snoozed.until)
    if started and reached < max(started) + retrain.cooldown:
        return Waiting(Wait.COOLDOWN, max(started) + retrain.cooldown)
    if retrain.budget is not None:
        until = _budget_until(retrain.budget.runs, retrain.budget.per, reached, started)
        if until is not None:
            return Waiting(Wait.BUDGET, until)
    quiet = quiet_until(retrain.quiet_hours, clock)
    return None if quiet is None else Waiting(Wait.QUIET_HOURS, quiet)


def snooze(
    settings: Settings, pilot: str, duration: timedelta, *, who: str | None = None, why: str
) -> Snooze:
    """Let no retraining of `pilot` start for `duration`; takes the place of a snooze before.

    Raises:
        SettingsError: nothing says why.
    """
    if not why.strip():
        raise errors.SettingsError(
            "A snooze needs a reason, for those who wonder why nothing is trained.",
            remedy='Add `--why "…"`.',
        )
    made = Snooze(pilot, tables.now() + duration, who or people.user(), why.strip(), tables.now())
    table = tables.snoozes
    with tables.connect(settings).begin() as connection:
        tables.lock(connection, pilot)
        connection.execute(delete(table).where(table.c.pilot == pilot))
        connection.execute(insert(table), vars(made))
        audits.write(connection, "snooze", pilot, made.who, made.why, until=made.until.isoformat())
    return made


def unsnooze(settings: Settings, pilot: str, *, who: str | None = None, why: str = "") -> Snooze | None:
    """End the snooze of `pilot`; returns it, or None when there was none."""
    table = tables.snoozes
    with tables.connect(settings).begin() as connection:
        tables.lock(connection, pilot)
        ended = _snooze(connection, pilot)
        if ended is None:
            return None
        connection.execute(delete(table).where(table.c.pilot == pilot))
        if ended.until <= tables.now():
            return None
        audits.write(connection, "unsnooze", pilot, who or people.user(), why, until=ended.until.isoformat())
    return ended


def snoozed(settings: Settings, pilot: str) -> Snooze | None:
    """The snooze of `pilot` that is in force."""
    with tables.connect(settings).begin() as connection:
        found = _snooze(connection, pilot)
    return found if found is not None and tables.now() < found.until else None


def _budget_until(
    runs: int, per: timedelta, reached: datetime, started: Sequence[datetime]
) -> datetime | None:
    """When fewer than `runs` of `started` are within `per` before; None when it is so at `reached`."""
    latest = sorted(started, reverse=True)[:runs]
    if len(latest) < runs or reached >= latest[-1] + per:
        return None
    return latest[-1] + per


def _snooze(connection: Connection, pilot: str) -> Snooze | None:
    row = connection.execute(select(tables.snoozes).where(tables.snoozes.c.pilot == pilot)).first()
    return None if row is None else Snooze(**row._mapping)
