"""What the monitor found, as rows: an index of windows and alarms over the reports that it stored.

Reports are the truth, and the index can be made anew from them; only what people
said of an alarm is kept here alone. Nothing is judged here.

    open ──→ acknowledged      by a person
      └──────────┴──→ closed   a window after it is well, its own is judged again and is well,
                               or another version is champion; open again if its window is judged anew
                               and says so again
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, bindparam, delete, func, insert, select, update

from pilotage.core import errors, windows
from pilotage.core.artifacts import Alarm, DriftReport, FeatureDrift, Trigger
from pilotage.core.settings import Settings
from pilotage.core.specs import Cause, PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, days
from pilotage.pipelines.retraining import triggers

LEAST_ROWS = 100
"""Rows from which a window can say that the columns are well again."""
_Key = tuple[int, datetime]
"""Version and start of a window."""


class AlarmState(StrEnum):
    """What became of an alarm."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """Somebody has seen it."""
    CLOSED = "closed"
    """It is over, or of no concern any more."""


LIVING = (AlarmState.OPEN, AlarmState.ACKNOWLEDGED)
"""States of alarms that are not over."""


def observe(
    settings: Settings,
    spec: PilotSpec,
    reports: Sequence[DriftReport],
    champion: int | None = None,
    told_by: str | None = None,
) -> list[Trigger]:
    """Keep what reports say, tell of their alarms and open triggers; returns the new ones.

    One transaction. What is known already changes nothing, so that any reports may be given again.

    Args:
        settings: the installation.
        spec: the pilot that they are about.
        reports: new, changed or known ones.
        champion: the version that serves, if one does; alarms about others are closed.
        told_by: who found this elsewhere; the scheduler answers the triggers then.
    """
    with tables.connect(settings).begin() as connection:
        tables.lock(connection, spec.pilot)
        fresh = _fresh(connection, spec.pilot, reports)
        _write_windows(connection, fresh)
        days.sum_up(connection, spec, (report.start for report in fresh))
        _write_alarms(connection, spec.pilot, fresh, fresh)
        _close(connection, spec.pilot, champion)
        alarms = [alarm for report in reports for alarm in report.alarms]
        return triggers.open_within(connection, spec, alarms, told_by)


def reindex(settings: Settings, spec: PilotSpec, reports: Sequence[DriftReport]) -> int:
    """Make the index of windows anew from all `reports` of the pilot; returns how many windows it has.

    Windows that have no report any more leave it; what people said of alarms stays, and so do ends of alarms.
    """
    with tables.connect(settings).begin() as connection:
        tables.lock(connection, spec.pilot)
        fresh = _fresh(connection, spec.pilot, reports)
        for table in (tables.windows, tables.days):
            connection.execute(delete(table).where(table.c.pilot == spec.pilot))
        _write_windows(connection, reports)
        days.sum_up(connection, spec, (report.start for report in reports))
        _write_alarms(connection, spec.pilot, reports, fresh)
        _close(connection, spec.pilot, None)
    return len(reports)


def acknowledge(engine: Engine, pilot: str, alarm: str, *, who: str, why: str = "") -> bool:
    """Keep that somebody has seen an alarm; False when somebody had, or it is over.

    Raises:
        NotFound: there is no such alarm.
    """
    table = tables.alarms
    this = and_(table.c.pilot == pilot, table.c.id == alarm)
    with engine.begin() as connection:
        tables.lock(connection, pilot)
        row = connection.execute(select(table).where(this)).first()
        if row is None:
            raise errors.NotFound(
                f"Pilot `{pilot}` has no alarm `{alarm}`.", remedy="`GET /api/v1/alarms` lists them."
            )
        if row.state != AlarmState.OPEN:
            return False
        said = {"state": AlarmState.ACKNOWLEDGED, "decided_at": tables.now(), "who": who, "why": why}
        connection.execute(update(table).where(this), said)
        audits.write(connection, "acknowledge", pilot, who, why, version=row.version, alarm=alarm)
    return True


def _fresh(connection: Connection, pilot: str, reports: Sequence[DriftReport]) -> list[DriftReport]:
    """Those of `reports` that are not in the index as they are."""
    table = tables.windows
    if not reports:
        return []
    query = select(table.c.version, table.c.start, table.c.updated_at).where(
        table.c.pilot == pilot, table.c.start >= min(report.start for report in reports)
    )
    known = {(row.version, row.start): row.updated_at for row in connection.execute(query)}
    latest = {_key(report): report for report in reports}
    return [report for key, report in latest.items() if known.get(key) != report.created_at]


def _key(report: DriftReport) -> _Key:
    return report.version, report.start


def _write_windows(connection: Connection, reports: Sequence[DriftReport]) -> None:
    if not reports:
        return
    table = tables.windows
    before = delete(table).where(
        table.c.pilot == bindparam("of"),
        table.c.version == bindparam("made"),
        table.c.start == bindparam("at"),
    )
    keys = [{"of": report.pilot, "made": report.version, "at": report.start} for report in reports]
    connection.execute(before, keys)
    connection.execute(insert(table), [_window(report) for report in reports])


def _window(report: DriftReport) -> dict[str, Any]:
    realized, estimated, brought = report.performance, report.estimated, report.brought
    return {
        "pilot": report.pilot,
        "version": report.version,
        "start": report.start,
        "end": report.end,
        "rows": report.rows,
        "requests": report.requests,
        "errors": report.errors,
        "latency_p50_ms": report.p50_ms,
        "latency_p99_ms": report.p99_ms,
        "cpu_seconds": report.cpu_seconds,
        "peak_memory_bytes": report.peak_memory_bytes,
        "drifted": sum(part.drifted for part in report.features),
        "features": {part.feature: _drift(part) for part in report.features},
        "score": None if report.score is None else _drift(report.score),
        "metric": next((part.metric for part in (realized, estimated) if part is not None), None),
        "estimated": estimated.value if estimated else None,
        "estimated_low": estimated.low if estimated else None,
        "estimated_high": estimated.high if estimated else None,
        "realized": realized.value if realized else None,
        "realized_low": realized.low if realized else None,
        "realized_high": realized.high if realized else None,
        "labelled": realized.labelled if realized else brought.labelled if brought else 0,
        "currency": brought.currency if brought else None,
        "value": brought.value if brought else None,
        "baseline": brought.baseline if brought else None,
        "gain": brought.estimated if brought else None,
        "gain_error": brought.error if brought else None,
        "drift_well": _columns_are_well(report),
        "performance_well": bool(realized and realized.value is not None and not realized.dropped),
        "report": windows.reports_folder(report.pilot, report.version, report.start),
        "updated_at": report.created_at,
    }


def _drift(part: FeatureDrift) -> dict[str, Any]:
    """What the heat map shows of a column; what is usual is left out, for there are many."""
    told: dict[str, Any] = {"effect": round(part.psi, 5)}
    told |= {name: True for name in ("drifted", "persistent") if getattr(part, name)}
    if part.importance is not None:
        told["importance"] = round(part.importance, 4)
    return told


def _columns_are_well(report: DriftReport) -> bool:
    parts = (*report.features, report.score, report.prediction)
    drifted = report.rows_drifted or any(part is not None and part.drifted for part in parts)
    return report.rows >= LEAST_ROWS and not drifted


def _write_alarms(
    connection: Connection, pilot: str, reports: Sequence[DriftReport], fresh: Sequence[DriftReport]
) -> None:
    """Keep the alarms of reports, and close those that they take back; `fresh` ones may open theirs again."""
    if not reports:
        return
    table = tables.alarms
    made = {_key(report): report.created_at for report in reports}
    held = {
        row.id: row
        for row in connection.execute(select(table).where(table.c.pilot == pilot))
        if (row.version, row.start) in made
    }
    again = {alarm.id for report in fresh for alarm in report.alarms}
    for alarm in (alarm for report in reports for alarm in report.alarms):
        row = held.pop(alarm.id, None)
        if row is None or row.state in LIVING or alarm.id in again:
            _write_alarm(connection, alarm, row)
    for row in held.values():
        if row.state in LIVING:
            at = made[row.version, row.start]
            _end(connection, row, "its window was judged again and is well", at)


def _write_alarm(connection: Connection, alarm: Alarm, row: Row[Any] | None) -> None:
    table = tables.alarms
    told: dict[str, Any] = {"message": alarm.message, "details": alarm.model_dump(mode="json")}
    if row is None:
        keys = alarm.model_dump(include={"pilot", "id", "version", "cause", "start", "end"})
        state = {"state": AlarmState.OPEN, "raised_at": tables.now()}
        connection.execute(insert(table), {**keys, **told, **state})
        return
    if row.state == AlarmState.CLOSED:
        state_before = AlarmState.OPEN if row.decided_at is None else AlarmState.ACKNOWLEDGED
        told |= {"state": state_before, "closed_at": None, "closed_why": None}
    connection.execute(update(table).where(table.c.pilot == row.pilot, table.c.id == row.id), told)


def _close(connection: Connection, pilot: str, champion: int | None) -> None:
    """Close alarms that are over."""
    table = tables.alarms
    living = select(table).where(table.c.pilot == pilot, table.c.state.in_(LIVING))
    for row in connection.execute(living).all():
        if champion is not None and row.version != champion:
            _end(connection, row, f"version {champion} is champion", tables.now())
            continue
        well = _well_after(connection, row)
        if well is not None:
            _end(connection, row, f"the window of {well:%Y-%m-%d %H:%M} UTC is well", tables.now())


def _well_after(connection: Connection, alarm: Row[Any]) -> datetime | None:
    """Start of the first window of the same version after an alarm in which its cause is gone."""
    table = tables.windows
    well = table.c.drift_well if alarm.cause == Cause.DRIFT else table.c.performance_well
    found: datetime | None = connection.scalar(
        select(func.min(table.c.start)).where(
            table.c.pilot == alarm.pilot, table.c.version == alarm.version, table.c.start >= alarm.end, well
        )
    )
    return found


def _end(connection: Connection, alarm: Row[Any], why: str, at: datetime) -> None:
    table = tables.alarms
    ended = {"state": AlarmState.CLOSED, "closed_at": at, "closed_why": why}
    connection.execute(update(table).where(table.c.pilot == alarm.pilot, table.c.id == alarm.id), ended)
