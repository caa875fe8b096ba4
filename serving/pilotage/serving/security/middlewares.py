"""The guard before an ASGI application: no route but the public ones is reached without a token.

Routes are not known here, so that one added later is guarded too. The fast lane
asks the guard itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage.serving import problems
from pilotage.serving.problems import Problem
from pilotage.serving.security import guards
from pilotage.serving.security.guards import Guard

PRINCIPAL = "principal"
"""Key, in the scope's state, of the caller's name."""


class Guarded:
    """Lets through whom the guard admits."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in guards.PUBLIC:
            role = guards.role_for(scope["path"])
            try:
                header = authorization(scope["headers"])
                name = self._guard.known(header, role) or await self._guard.resolve(header, role)
            except Problem as problem:
                await _refuse(problem, send)
                return
            scope.setdefault("state", {})[PRINCIPAL] = name
        await self._app(scope, receive, send)


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The header `Authorization`, if there is one.

    Raises:
        Problem: there are several.
    """
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) > 1:
        raise problems.unauthorized("There is more than one `Authorization` header.", "invalid_request")
    return found[0] if found else None


async def _refuse(problem: Problem, send: Send) -> None:
    body = problem.body()
    headers = {
        **problem.headers,
        "Content-Type": problems.MEDIA_TYPE,
        "Content-Length": str(len(body)),
    }
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(problem.status), "headers": encoded})
    await send({"type": "http.response.body", "body": body})
