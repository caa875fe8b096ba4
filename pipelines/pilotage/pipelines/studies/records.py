"""The rows of studies: asked for, claimed, told to stop, ended, and found dead.

Every change is one transaction with its line of the audit, and may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from pilotage.core import errors
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, states
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import processes

SILENT = timedelta(minutes=3)
"""After which a process of another machine that says nothing is taken to be gone."""
_STARTING = timedelta(minutes=3)
"""How long a process may take from being launched to claiming its study."""
ACTIVE = (State.PENDING, State.RUNNING)
_AGAIN = (State.FAILED, State.DIED, State.CANCELLED)
"""What may be begun again."""


class Kind(StrEnum):
    """What is found out."""

    FORECAST = "forecast"
    """What more data, a bigger model or better features would bring."""
    SHRINK = "shrink"
    """Which smaller models pass the gates."""
    READINESS = "readiness"
    """What no run shows of how ready a pilot is."""
    SCORE = "score"
    """What a version predicts for the rows of a table."""
    SYNTHESIS = "synthesis"
    """Rows in the place of people's, and what they give away."""

    @property
    def command(self) -> str:
        """What carries it out, as `pilotage` knows it."""
        return "synthesize" if self is Kind.SYNTHESIS else self.value


@dataclass(frozen=True)
class Progress:
    """How far a study is."""

    done: int
    total: int
    what: str


@dataclass(frozen=True)
class Study:
    """One study."""

    id: str
    pilot: str
    kind: Kind
    options: Mapping[str, Any]
    state: State
    asked_at: datetime
    asked_by: str
    progress: Progress | None
    started_at: datetime | None
    ended_at: datetime | None
    error: Mapping[str, Any] | None
    """Type, message and remedy."""
    result: Mapping[str, Any] | None
    """In short; all of it is the file RESULT of its folder."""

    @property
    def folder(self) -> str:
        """Where in the storage its files are."""
        return f"studies/{self.pilot}/{self.id}"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in ACTIVE


def ask(engine: Engine, pilot: str, kind: Kind, options: Mapping[str, Any], who: str) -> str:
    """Record a study that somebody wants; returns its id. `work.carry_out` does it.

    Raises:
        RunActive: one of the kind goes on for the pilot; `details["study"]` names it.
    """
    study = states.new_id()
    with engine.begin() as connection:
        _require_free(connection, pilot, kind, None)
        row = {
            "id": study,
            "pilot": pilot,
            "kind": kind,
            "options": dict(options),
            "state": State.PENDING,
            "asked_at": tables.now(),
            "asked_by": who,
        }
        connection.execute(insert(tables.studies), row)
        audits.write(connection, str(kind), pilot, who, "", study=study, options=dict(options))
    return study


def claim(engine: Engine, study: str) -> Study:
    """This process carries `study` out, and no other does; one that failed or died is begun again.

    Raises:
        NotFound: there is no such study.
        Conflict: it succeeded already.
        RunActive: another process carries it, or another of the kind, out.
    """
    own = processes.current()
    with engine.begin() as connection:
        row = _locked(connection, study)
        if row.state not in (*ACTIVE, *_AGAIN):
            raise errors.Conflict(
                f"Study {study} is {row.state}.",
                remedy="Start a new one by leaving `--study` out.",
                study=study,
            )
        _require_free(connection, row.pilot, Kind(row.kind), study)
        tables.lock(connection, tables.IN_USE)
        moment = tables.now()
        values = {
            "state": State.RUNNING,
            **_process(own),
            "seen_at": moment,
            "started_at": moment,
            "ended_at": None,
            "cancel_asked_at": None,
            "cancel_asked_by": None,
            "error": None,
        }
        connection.execute(update(tables.studies).where(tables.studies.c.id == study), values)
        return _study(_row(connection, study))


def mark_launched(engine: Engine, study: str, process: processes.Identity) -> None:
    """A process was started that will claim `study`; nothing changes once some process has."""
    table = tables.studies
    waiting = update(table).where(table.c.id == study, table.c.state == State.PENDING, table.c.pid.is_(None))
    with engine.begin() as connection:
        connection.execute(waiting, {**_process(process), "seen_at": tables.now()})


def see(engine: Engine, study: str, progress: Progress | None = None) -> bool:
    """Say that this process lives and, if given, how far it is; whether it may go on.

    False when somebody told it to stop, or when another process has the study.
    """
    table, own = tables.studies, processes.current()
    values: dict[str, Any] = {"seen_at": tables.now()}
    if progress is not None:
        values["progress"] = {"done": progress.done, "total": progress.total, "what": progress.what}
    mine = (
        table.c.id == study,
        table.c.state == State.RUNNING,
        table.c.pid == own.pid,
        table.c.host == own.host,
    )
    with engine.begin() as connection:
        if not connection.execute(update(table).where(*mine), values).rowcount:
            return False
        asked = connection.scalar(select(table.c.cancel_asked_at).where(table.c.id == study))
    return asked is None


def end(
    engine: Engine,
    study: str,
    state: State,
    *,
    result: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> None:
    """The study of this process ended; nothing changes when it is not this process's any more."""
    table, own = tables.studies, processes.current()
    mine = (
        table.c.id == study,
        table.c.state == State.RUNNING,
        table.c.pid == own.pid,
        table.c.host == own.host,
    )
    values = {
        "state": state,
        "ended_at": tables.now(),
        "result": None if result is None else tables.finite(dict(result)),
        "error": None if error is None else dict(error),
    }
    with engine.begin() as connection:
        connection.execute(update(table).where(*mine), values)


def cancel(engine: Engine, study: str, who: str, why: str = "") -> None:
    """Tell the process of a study to stop; one that no process has yet has ended. Asked again: nothing.

    Raises:
        NotFound: there is no such study.
        Conflict: it ended otherwise.
    """
    table = tables.studies
    with engine.begin() as connection:
        row = _locked(connection, study)
        if row.state == State.CANCELLED or row.cancel_asked_at is not None:
            return
        if row.state not in ACTIVE:
            raise errors.Conflict(
                f"Study {study} is {row.state}.", remedy="Nothing is left to stop.", study=study
            )
        asked = {"cancel_asked_at": tables.now(), "cancel_asked_by": who}
        if row.state == State.PENDING:
            error = {"type": "Cancelled", "message": f"Cancelled by {who} before it began.", "remedy": why}
            asked |= {"state": State.CANCELLED, "ended_at": tables.now(), "error": error}
        connection.execute(update(table).where(table.c.id == study), asked)
        audits.write(connection, "cancel", row.pilot, who, why, study=study)


def find(engine: Engine, study: str) -> Study:
    """The study with this id; one whose process is gone has died.

    Raises:
        NotFound: there is none.
    """
    with engine.begin() as connection:
        row = _row(connection, study)
        _bury(connection, [row])
        return _study(_row(connection, study))


def latest(engine: Engine, pilot: str, kind: Kind, state: State | None = None) -> Study | None:
    """The pilot's newest study of a kind, in a state if one is named; None where there is none."""
    found = listed(engine, pilot, kind, limit=1, state=state)
    return found[0] if found else None


def listed(
    engine: Engine,
    pilot: str,
    kind: Kind | None = None,
    *,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
    state: State | None = None,
) -> list[Study]:
    """The pilot's studies, newest first.

    Args:
        engine: the database.
        pilot: its name.
        kind: only these.
        limit: at most so many.
        before: when the last study of the page before was asked for, and its id.
        state: only those that are in it.
    """
    bury_dead(engine, pilot)
    table = tables.studies
    query = select(table).where(table.c.pilot == pilot)
    query = query.order_by(table.c.asked_at.desc(), table.c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    if state is not None:
        query = query.where(table.c.state == state)
    if before is not None:
        at, name = before
        query = query.where((table.c.asked_at < at) | ((table.c.asked_at == at) & (table.c.id < name)))
    with tables.reading(engine) as connection:
        return [_study(row) for row in connection.execute(query)]


def bury_dead(engine: Engine, pilot: str) -> None:
    """End the studies of a pilot whose processes are gone."""
    table = tables.studies
    active = select(table).where(table.c.pilot == pilot, table.c.state.in_(ACTIVE))
    with tables.reading(engine) as connection:
        dead = [row for row in connection.execute(active) if not _lives(row)]
    if dead:
        with engine.begin() as connection:
            _bury(connection, [_row(connection, row.id) for row in dead])


def _bury(connection: Connection, rows: list[Row[Any]]) -> None:
    table = tables.studies
    for row in rows:
        if row.state in ACTIVE and not _lives(row):
            command = Kind(row.kind).command
            error = {
                "type": "ProcessDied",
                "message": f"The process of study {row.id} went away before it ended.",
                "remedy": f"`pilotage {command} PILOT --study {row.id}` goes on with what it has finished.",
            }
            values = {"state": State.DIED, "ended_at": tables.now(), "error": error}
            as_seen = table.c.state == row.state, table.c.seen_at.is_not_distinct_from(row.seen_at)
            connection.execute(update(table).where(table.c.id == row.id, *as_seen), values)


def _lives(row: Row[Any]) -> bool:
    """Whether a process carries it out, or may still claim it."""
    if row.pid is None:
        return bool(tables.now() - row.asked_at < _STARTING)
    identity = processes.Identity(host=row.host, boot=row.boot, pid=row.pid, started=row.process_started)
    if identity.host != processes.current().host:
        return bool(tables.now() - row.seen_at < SILENT)
    return processes.alive(identity)


def _require_free(connection: Connection, pilot: str, kind: Kind, study: str | None) -> None:
    """No other process carries out a study of the kind; dead ones are buried."""
    table = tables.studies
    tables.lock(connection, f"studies {pilot} {kind}")
    query = select(table).where(table.c.pilot == pilot, table.c.kind == kind, table.c.state.in_(ACTIVE))
    own = processes.current()
    for row in connection.execute(query).all():
        if row.id == study and (row.state == State.PENDING or _is_of(row, own)):
            continue
        if _lives(row):
            raise errors.RunActive(
                f"Pilot `{pilot}` already has a {kind} in progress: study {row.id}.",
                remedy="Wait for it to end, or cancel it.",
                study=row.id,
            )
        _bury(connection, [row])


def _is_of(row: Row[Any], process: processes.Identity) -> bool:
    if row.pid is None:
        return False
    held = processes.Identity(host=row.host, boot=row.boot, pid=row.pid, started=row.process_started)
    return processes.same(held, process)


def _process(identity: processes.Identity) -> dict[str, Any]:
    return {
        "host": identity.host,
        "boot": identity.boot,
        "pid": identity.pid,
        "process_started": identity.started,
    }


def _locked(connection: Connection, study: str) -> Row[Any]:
    row = _row(connection, study)
    tables.lock(connection, f"studies {row.pilot} {row.kind}")
    return _row(connection, study)


def _row(connection: Connection, study: str) -> Row[Any]:
    row = connection.execute(select(tables.studies).where(tables.studies.c.id == study[:64])).first()
    if row is None:
        raise errors.NotFound(
            f"There is no study `{study[:64]}`.",
            remedy="`GET /api/v1/pilots/PILOT/studies` lists them.",
            study=study[:64],
        )
    return row


def _study(row: Row[Any]) -> Study:
    return Study(
        id=row.id,
        pilot=row.pilot,
        kind=Kind(row.kind),
        options=row.options,
        state=State(row.state),
        asked_at=row.asked_at,
        asked_by=row.asked_by,
        progress=Progress(**row.progress) if row.progress else None,
        started_at=row.started_at,
        ended_at=row.ended_at,
        error=row.error,
        result=row.result,
    )
