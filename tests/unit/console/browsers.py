"""Browsers and programs that really go through the console's door."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.unit.console.desks import actor

from pilotage.console import applications
from pilotage.console.access import doors
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.operations.access import tokens, users
from pilotage.console.operations.desks import Desk

PASSWORD = "correct horse battery"
URL = "http://127.0.0.1:8400"


def browser(desk: Desk, *, url: str = URL, address: str = "127.0.0.1") -> TestClient:
    """A browser in front of the console, nobody signed in."""
    return TestClient(
        _application(desk),
        base_url=url,
        client=(address, 50000),
        raise_server_exceptions=False,
        follow_redirects=False,
        headers={"Accept": "text/html"},
    )


_applications: dict[int, tuple[Desk, FastAPI]] = {}


def _application(desk: Desk) -> FastAPI:
    """The console of this very desk, which is costly to build."""
    if id(desk) not in _applications:
        _applications.clear()
        _applications[id(desk)] = desk, applications.create(desk, doors.authenticate)
    return _applications[id(desk)][1]


def add_user(desk: Desk, name: str, *grants: Grant, password: str | None = PASSWORD) -> None:
    """Somebody who may come in."""
    users.add_user(desk, actor(), name, password=password, grants=grants)


def sign_in(client: TestClient, name: str, password: str = PASSWORD, **more: str) -> Any:
    """Fill in the form."""
    return client.post("/sign-in", data={"name": name, "password": password, **more})


def signed_in(desk: Desk, name: str = "ada", *grants: Grant) -> TestClient:
    """A browser that a new user, an admin when nothing else is said, signed in with."""
    add_user(desk, name, *(grants or (Grant(ALL, Role.ADMIN),)))
    client = browser(desk)
    assert sign_in(client, name).status_code == 303
    return client


def csrf(client: TestClient, page: str = "/settings") -> str:
    """The token that the forms of a page hold."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(page).text)
    assert found is not None
    return found[1]


def bearer(desk: Desk, user: str, *grants: Grant, days: int = 1) -> TestClient:
    """A program with a token of `user`."""
    made = tokens.make_token(desk, actor(), "test", grants, days, user=user)
    client = browser(desk)
    client.headers = {"Authorization": f"Bearer {made.secret}"}
    return client
