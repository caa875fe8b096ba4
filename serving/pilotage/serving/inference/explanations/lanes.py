"""Requests for explanations: read, queued for the explaining process, and answered.

The lane is short and its own, so that explanations never stand in the way of
predictions. HTTP is not known here.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.serving import problems
from pilotage.serving.inference.explanations.attributions import Attribution, Budget
from pilotage.serving.inference.explanations.processes import ExplainingProcess, Stopped
from pilotage.serving.inference.explanations.questions import Question
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import codecs
from pilotage.serving.protocols.batches import Batch
from pilotage.serving.versions.lives import Live

Choose = Callable[[list[str | None] | None], Live]
"""The version that answers a request with these ids; raises Problem when there is none."""


class Lane:
    """The requests for explanations of one server; costs nothing until the first."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._limits = limits
        self._row_limits = dataclasses.replace(
            limits, rows=min(limits.rows, limits.explain_rows), body_bytes=limits.explain_bytes
        )
        self._process = ExplainingProcess(settings, limits.explain_idle_seconds)
        self._thread = ThreadPoolExecutor(1, "explain")
        self._pending = 0

    async def explain(self, body: bytes, content_type: str, choose: Choose) -> bytes:
        """The answer's body to a request's, which is the same as to `/predict`.

        Raises:
            Problem: nothing is live, the body is not what it should be, too many wait, or it took too long.
            RequestError: a row cannot be taken.
            Failure: the version cannot be explained.
        """
        if len(body) > self._limits.explain_bytes:
            raise problems.too_large(self._limits.explain_bytes)
        if self._pending >= self._limits.explain_pending:
            raise problems.overloaded(self._pending)
        self._pending += 1
        try:
            live, batch = await asyncio.to_thread(self._read, body, content_type, choose)
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._thread, self._ask, live, batch)
        finally:
            self._pending -= 1
        return _document(live, batch, found)

    def close(self) -> None:
        """Break off what is in progress and end the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._process.close()

    def _read(self, body: bytes, content_type: str, choose: Choose) -> tuple[Live, Batch]:
        live = choose(None)
        batch = codecs.rows(body, content_type, live.model, self._row_limits).batch
        if not batch.rows:
            raise errors.RequestError("The request has no rows.", remedy="Send at least one.")
        chosen = choose(batch.ids)
        if chosen.model.features != live.model.features:
            batch = codecs.rows(body, content_type, chosen.model, self._row_limits).batch
        return chosen, batch

    def _ask(self, live: Live, batch: Batch) -> Attribution:
        if live.folder is None:
            raise errors.Failure(f"Version {live.version} has no files to explain it from.")
        limits = self._limits
        budget = Budget(limits.explain_evaluations, limits.explain_seconds)
        try:
            return self._process.ask(
                Question(live.folder, batch.columns, budget), limits.explain_deadline_seconds
            )
        except Stopped as error:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not-explained",
                f"The rows could not be explained: {error}. Send fewer rows, or try again.",
            ) from error


def _document(live: Live, batch: Batch, found: Attribution) -> bytes:
    return codecs.dump(
        {"model": live.model.pilot, "version": live.version, "ids": batch.ids, **found.document()}
    )
