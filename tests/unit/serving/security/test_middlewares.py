"""Every route but the public ones asks for a token, also one that nobody thought of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pilotage.serving.security import tokens
from pilotage.serving.security.guards import Guard
from pilotage.serving.security.middlewares import PRINCIPAL, Guarded
from pilotage.serving.security.tokens import Role, TokenFile


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, bytes]:
    file = tmp_path / "tokens"
    roles = {"asker": frozenset({Role.PREDICT}), "scraper": frozenset({Role.METRICS})}
    return {name: f"Bearer {tokens.add(file, name, roles=given)}".encode() for name, given in roles.items()}


@pytest.fixture
def guard(tmp_path: Path, secrets: dict[str, bytes]) -> Guard:
    return Guard(TokenFile(tmp_path / "tokens"), None)


def ask(
    guard: Guard, path: str, *headers: bytes, kind: str = "http"
) -> tuple[int, dict[str, str], Any, bool]:
    """Status, headers and body of the answer, and whether the application was reached."""
    sent: list[dict[str, Any]] = []
    reached: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope.get("state", {}).get(PRINCIPAL))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(reached[0]).encode()})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the body was read before the guard said yes")

    scope = {"type": kind, "path": path, "headers": [(b"authorization", header) for header in headers]}
    asyncio.run(Guarded(app, guard)(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, json.loads(sent[1]["body"]), bool(reached)


@pytest.mark.parametrize(
    "path", ["/health", "/health/live", "/health/ready", "/ping", "/v2/health/live", "/v2/health/ready"]
)
def test_probes_need_no_token(guard: Guard, path: str) -> None:
    assert ask(guard, path)[::3] == (200, True)


@pytest.mark.parametrize(
    "path",
    ["/", "/predict", "/metrics", "/docs", "/openapi.json", "/health/", "/health/../predict", "/Ping",
     "//ping", "/ping/", "/v2", "/v2/health", "/v2/models/a/ready", "/new"],
)  # fmt: skip
def test_all_else_does(guard: Guard, path: str) -> None:
    status, headers, document, reached = ask(guard, path)
    assert (status, reached) == (401, False)
    assert headers["www-authenticate"] == 'Bearer realm="pilotage"'
    assert headers["content-type"] == "application/problem+json"
    assert document["type"] == "urn:pilotage:problem:unauthorized"


def test_the_callers_name_goes_with_the_request(guard: Guard, secrets: dict[str, bytes]) -> None:
    for _ in range(2):
        assert ask(guard, "/predict", secrets["asker"])[2] == "asker"


def test_metrics_have_a_role_of_their_own(guard: Guard, secrets: dict[str, bytes]) -> None:
    assert ask(guard, "/metrics", secrets["scraper"])[0] == 200
    assert ask(guard, "/metrics", secrets["asker"])[0] == 403
    assert ask(guard, "/predict", secrets["scraper"])[0] == 403


def test_two_tokens_at_once_are_refused(guard: Guard, secrets: dict[str, bytes]) -> None:
    status, _, _, reached = ask(guard, "/predict", secrets["asker"], secrets["scraper"])
    assert (status, reached) == (401, False)
