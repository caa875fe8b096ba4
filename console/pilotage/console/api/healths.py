"""`/health/live` and `/health/ready`: what a cluster asks before it restarts a console or sends people to it.

Both answer under any name and to anybody, so they say nothing of the installation; why a console is not
ready is in its log. Model servers have health routes of their own.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage.core import errors
from pilotage.pipelines import tables

logger = logging.getLogger(__name__)

LIVE, READY = "/health/live", "/health/ready"
_FRESH_SECONDS = 1.0
"""How long an answer of the database stands for the next: whoever asks often costs it nothing."""


class Health:
    """How one console is: it lives while its work goes on, is ready while its database is as it expects."""

    def __init__(self, engine: Engine, works: Callable[[], bool] = lambda: True) -> None:
        """
        Args:
            engine: the database.
            works: whether what the process does besides answering goes on.
        """
        self._engine = engine
        self.works = works
        self.draining = False
        """Whether it was told to stop, and should be sent nobody any more."""
        self._asking = threading.Lock()
        self._answer = "the database was not asked yet"
        self._asked = -_FRESH_SECONDS
        self._told = ""

    def dead(self) -> str:
        """Why a restart would help; empty where none is needed."""
        return "" if self.works() else "the work besides answering stands still"

    def unready(self) -> str:
        """Why nobody should be sent here now; empty where it is ready. May wait for the database."""
        if self.draining:
            return "it stops"
        if time.monotonic() - self._asked >= _FRESH_SECONDS and self._asking.acquire(blocking=False):
            try:
                self._answer = self._ask()
                self._asked = time.monotonic()
            finally:
                self._asking.release()
        return self._answer

    def _ask(self) -> str:
        why, told = "", ""
        try:
            tables.require_current(self._engine)
        except errors.PilotageError as error:
            newer = isinstance(error, errors.SettingsError)
            why = "the database is of another version" if newer else "the database is not ready"
            told = error.message
        except SQLAlchemyError as error:
            why, told = "the database is not ready", str(error)
        if told != self._told:
            self._told = told
            logger.warning("not ready: %s", told) if told else logger.info("ready again")
        return why


class HealthRoutes:
    """Answers the two paths before anything else looks at a request."""

    def __init__(self, app: ASGIApp, health: Health) -> None:
        self._app = app
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] not in (LIVE, READY):
            await self._app(scope, receive, send)
            return
        if scope["path"] == LIVE:
            why = self._health.dead()
        else:
            why = await run_in_threadpool(self._health.unready)
        body = json.dumps({"status": "failing", "why": why} if why else {"status": "ok"}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 503 if why else 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
