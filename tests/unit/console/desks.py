"""An installation's desk, people with every role, and the console asked by one of them."""

from __future__ import annotations

from fastapi.testclient import TestClient

from pilotage.console import applications
from pilotage.console.access.actors import ALL, Actor, Grant, Role
from pilotage.console.operations.desks import Desk


def actor(role: Role = Role.ADMIN, pilot: str = ALL, name: str = "") -> Actor:
    """Somebody with one role."""
    return Actor(name or str(role), frozenset({Grant(pilot, role)}))


def client(desk: Desk, who: Actor | None = None) -> TestClient:
    """The console over HTTP, every request sent by `who`; an admin when left out."""
    found = who or actor()
    app = applications.create(desk, authenticate=lambda request: found)
    return TestClient(app, base_url="http://127.0.0.1:8400", raise_server_exceptions=False)
