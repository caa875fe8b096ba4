"""Starts processes for runs that wait in line: one at a time a pilot, a bounded number at once.

A launched process has nothing until it claims its run (see `requests`), so it
does no harm to launch one twice, or to be killed in between. One that died
before it claimed is replaced, a few times. Only a leader dispatches.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, Row, null, select, update

from pilotage.core import errors
from pilotage.core.places import Place
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, records, stops
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import environments, leases, processes
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.queue import requests

logger = logging.getLogger(__name__)

MOST_LAUNCHES = 3
"""Processes of one run that may die before they claim it."""
_ELSEWHERE_AT_ONCE = 16
_CLAIM_SECONDS = 120.0
"""After which a launched process that has not claimed its run is replaced."""

Launch = Callable[[str], "subprocess.Popen[Any]"]
"""Starts a process for the run of this id."""


def runs_at_once(settings: Settings) -> int:
    """How many runs may go on at once on this machine; those that go on elsewhere take little of it."""
    if settings.run_on is not Place.LOCAL and not settings.runs_at_once:
        return _ELSEWHERE_AT_ONCE
    return settings.runs_at_once or max(2, (os.cpu_count() or 1) // 2)


def dispatch(
    engine: Engine, settings: Settings, lease: Lease | None, launch: Launch | None = None
) -> list[subprocess.Popen[Any]]:
    """Start what may be started now; the processes, for the caller to wait for.

    Args:
        engine: the database.
        settings: the installation.
        lease: the leader's. None where nobody else can be.
        launch: how to start a process; one of this Python when left out.

    Raises:
        LeaseLost: another process leads.
    """
    with engine.begin() as connection:
        leases.require(connection, lease)
        chosen, hopeless = _choose(connection, runs_at_once(settings))
        for row in chosen:
            _mark(connection, row.id, processes.current(), _deaths(row), settings)
    for row in hopeless:
        _give_up(engine, lease, row)
    started = []
    for row in chosen:
        try:
            process = (launch or _launcher(settings))(row.id)
        except OSError as error:
            logger.warning("no process can be started for run %s now: %s", row.id, error)
            requests.release(engine, row.id)
            continue
        child = processes.of(process.pid)
        if child is not None:
            with engine.begin() as connection:
                _mark(connection, row.id, child, _deaths(row), settings)
        started.append(process)
        logger.info("run %s of %s: process %d", row.id, row.pilot, process.pid)
    return started


def interrupt(engine: Engine, settings: Settings, grace_seconds: float) -> list[str]:
    """Stop the runs of this home that were dispatched on this machine; they are back in line then.

    Returns their ids. One that does not stop within `grace_seconds` is killed, and put back all the same.
    """
    own = processes.current()
    table = tables.runs
    with tables.reading(engine) as connection:
        rows = connection.execute(
            select(table).where(table.c.state.in_(records.ACTIVE), table.c.host == own.host)
        ).all()
        launched = connection.execute(select(table).where(table.c.state == State.PENDING)).all()
    mine = [row for row in rows if (row.launch or {}).get("home") == str(settings.home)]
    waiting = [row for row in launched if (row.launch or {}).get("home") == str(settings.home)]
    family = {row.id: _claimed(row) for row in mine} | {row.id: _launched(row) for row in waiting}
    here = {run: found for run, found in family.items() if found is not None and found.host == own.host}
    alive = {run: found for run, found in here.items() if processes.alive(found)}
    for identity in alive.values():
        if identity.pid != own.pid:
            with suppress(ProcessLookupError):
                os.kill(identity.pid, stops.INTERRUPT)
    deadline = time.monotonic() + grace_seconds
    while any(map(processes.alive, alive.values())) and time.monotonic() < deadline:
        time.sleep(0.05)
    for run, identity in alive.items():
        if processes.alive(identity):
            _kill(identity.pid)
        requests.requeue(engine, run)
        requests.release(engine, run)
    return sorted(alive)


def _choose(connection: Connection, most: int) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """Rows of the runs to start now, first come first served, and of those to give up."""
    table = tables.runs
    active = connection.execute(
        select(table).where(table.c.state.in_(records.ACTIVE)).order_by(table.c.asked_at, table.c.id)
    ).all()
    going = [row for row in active if row.state == State.RUNNING]
    waiting = [row for row in active if row.state == State.PENDING]
    begun = [row for row in waiting if _is_starting(row)]
    busy = {row.pilot for row in (*going, *begun)}
    free = most - len(going) - len(begun)
    chosen: list[Row[Any]] = []
    hopeless: list[Row[Any]] = []
    for row in waiting:
        if row in begun or row.pilot in busy or len(chosen) >= free:
            continue
        if _deaths(row) >= MOST_LAUNCHES and row.remote is None:  # one that goes on elsewhere needs a process
            hopeless.append(row)
            continue
        busy.add(row.pilot)
        chosen.append(row)
    return chosen, hopeless


def _is_starting(row: Row[Any]) -> bool:
    """Whether a process was launched for the run, and may claim it still."""
    identity = _launched(row)
    if identity is None:
        return False
    late = tables.now() - datetime.fromisoformat(row.launch["at"]) > timedelta(seconds=_CLAIM_SECONDS)
    return not late and processes.alive(identity)


def _deaths(row: Row[Any]) -> int:
    """Launched processes of the run that died before they claimed it, where none is starting."""
    return 0 if not row.launch else int(row.launch["deaths"]) + 1


def _mark(
    connection: Connection, run: str, process: processes.Identity, deaths: int, settings: Settings
) -> None:
    table = tables.runs
    launch = {
        "process": asdict(process),
        "at": tables.now().isoformat(),
        "deaths": deaths,
        "home": str(settings.home),
    }
    connection.execute(update(table).where(table.c.id == run), {"launch": launch})


def _give_up(engine: Engine, lease: Lease | None, row: Row[Any]) -> None:
    """A run whose processes keep dying before they claim it has failed, unless it left the line."""
    table = tables.runs
    error = {
        "type": "ProcessDied",
        "message": f"{MOST_LAUNCHES} processes were started for the run and died before it began.",
        "remedy": f"See logs/{row.id}/run.log; retry it when the cause is gone.",
    }
    ended = {
        "state": State.DIED,
        "ended_at": tables.now(),
        "exit_code": int(errors.ExitCode.FAILED),
        "error": error,
        "launch": null(),
    }
    with engine.begin() as connection:
        leases.require(connection, lease)
        waiting = update(table).where(table.c.id == row.id, table.c.state == State.PENDING)
        if connection.execute(waiting.values(ended)).rowcount:
            records.close_steps(connection, row.id, State.DIED)
            audits.write(connection, "give-up", row.pilot, "scheduler", error["message"], run=row.id)


def _launched(row: Row[Any]) -> processes.Identity | None:
    return processes.Identity(**row.launch["process"]) if row.launch else None


def _claimed(row: Row[Any]) -> processes.Identity | None:
    if row.pid is None:
        return None
    return processes.Identity(host=row.host, boot=row.boot, pid=row.pid, started=row.process_started)


def _launcher(settings: Settings) -> Launch:
    def launch(run: str) -> subprocess.Popen[Any]:
        folder = settings.logs / run
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "run.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                [sys.executable, "-m", "pilotage.pipelines", "run", "--run", run],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environments.variables(settings)},
                start_new_session=True,  # it outlives whoever launched it
            )

    return launch


def _kill(pid: int) -> None:
    """End a process and everything that it started."""
    try:
        process = psutil.Process(pid)
        family: Iterable[psutil.Process] = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)
