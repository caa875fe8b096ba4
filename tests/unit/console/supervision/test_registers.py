"""What is known of consoles in pods, whose names never come back: soon forgotten, removed at their end."""

from __future__ import annotations

import socket
from datetime import timedelta

from pilotage.console.operations.desks import Desk
from pilotage.console.supervision import registers
from pilotage.console.supervision.registers import Entry
from pilotage.console.supervision.states import ServiceKind, ServiceState
from pilotage.pipelines import tables


def entry(name: str, kind: ServiceKind) -> Entry:
    """A service that runs."""
    return Entry(name, kind, None, ServiceState.RUNNING, "http://127.0.0.1:8600", None, 0, tables.now(), "")


def hosts(desk: Desk) -> set[tuple[str, str]]:
    """Name and host of all that is known."""
    with tables.reading(desk.engine) as connection:
        return {(row.name, row.host) for row in connection.execute(tables.services.select())}


def test_consoles_that_fell_silent_are_forgotten_and_servers_keep_their_ports(
    desk: Desk,
) -> None:
    both = [entry("console:8000", ServiceKind.CONSOLE), entry("server/small", ServiceKind.SERVER)]
    registers.write(desk.engine, both)
    with desk.engine.begin() as connection:
        old = {"host": "pod-of-yesterday", "seen_at": tables.now() - timedelta(minutes=6)}
        connection.execute(tables.services.update().values(old))
    registers.write(desk.engine, both)
    registers.forget(desk.engine)
    here = socket.gethostname()
    kept = {("server/small", "pod-of-yesterday"), ("server/small", here)}
    assert hosts(desk) == {("console:8000", here), *kept}
    registers.remove(desk.engine, "console:8000")
    assert hosts(desk) == kept
