"""What is written of services, for whoever asks how they are: the table `services`."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import Engine, delete, insert, select, update

from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.pipelines import tables
from pilotage.pipelines.machines import processes

_FORGET = timedelta(minutes=5)


@dataclass(frozen=True)
class Entry:
    """What is known of one service now."""

    name: str
    kind: ServiceKind
    pilot: str | None
    state: ServiceState
    url: str | None
    pid: int | None
    restarts: int
    since: datetime
    detail: str


def write(engine: Engine, entries: Iterable[Entry]) -> None:
    """Write what is known of each service, and that it was seen now; an address stays known after its end."""
    table, host = tables.services, socket.gethostname()
    with engine.begin() as connection:
        held = set(connection.scalars(select(table.c.name).where(table.c.host == host)))
        for entry in entries:
            process = processes.of(entry.pid) if entry.pid is not None else None
            values = {
                **{key: value for key, value in vars(entry).items() if key != "url" or value is not None},
                "process_started": process.started if process else None,
                "seen_at": tables.now(),
            }
            if entry.name in held:
                mine = table.c.name == entry.name, table.c.host == host
                connection.execute(update(table).where(*mine), values)
            else:
                connection.execute(insert(table), {**values, "host": host})


def forget(engine: Engine) -> None:
    """Remove what is known of consoles that fell silent: a pod's name never comes back."""
    table = tables.services
    silent = table.c.kind == ServiceKind.CONSOLE, table.c.seen_at < tables.now() - _FORGET
    with tables.reading(engine) as connection:
        if connection.execute(select(table.c.name).where(*silent).limit(1)).first() is None:
            return
    with engine.begin() as connection:
        connection.execute(delete(table).where(*silent))


def remove(engine: Engine, name: str) -> None:
    """Remove what is known of a service of this machine, which ends in order."""
    table = tables.services
    mine = table.c.name == name, table.c.host == socket.gethostname()
    with engine.begin() as connection:
        connection.execute(delete(table).where(*mine))


def ports(engine: Engine) -> dict[str, int]:
    """The port that each service had last on this machine."""
    table = tables.services
    query = select(table.c.name, table.c.url).where(table.c.host == socket.gethostname())
    with tables.reading(engine) as connection:
        rows = connection.execute(query).all()
    found = {row.name: urlsplit(row.url).port for row in rows if row.url}
    return {name: port for name, port in found.items() if port is not None}
