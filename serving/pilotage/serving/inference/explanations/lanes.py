"""Requests for explanations: read, queued for the explaining process, and answered.

The lane is short and its own, so that explanations never stand in the way of
predictions. HTTP is not known here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from pilotage.core import errors
from pilotage.core.explanations.attributions import Attribution, Budget
from pilotage.core.settings import Settings
from pilotage.serving import problems
from pilotage.serving.inference.explanations.processes import ExplainingProcess, Stopped
from pilotage.serving.inference.explanations.questions import Question
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols import batches, codecs
from pilotage.serving.protocols.batches import Batch
from pilotage.serving.versions.lives import Live

_NEEDED = ("sklearn", "skops", "pandas", "shap")
"""What the explaining process loads."""

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

    async def explain(
        self, body: bytes, content_type: str, choose: Choose, until: float | None = None
    ) -> bytes:
        """The answer's body to a request's, which is the same as to `/predict`.

        Args:
            body: of the request.
            content_type: its header, or empty text.
            choose: gives the version.
            until: `time.perf_counter()` after which nobody waits for the answer; estimates end before.

        Raises:
            Problem: nothing is live, the body is not what it should be, too many wait, it took too long,
                or the version cannot be explained.
            RequestError: a row cannot be taken.
        """
        if len(body) > self._limits.explain_bytes:
            raise problems.too_large(self._limits.explain_bytes)
        if self._pending >= self._limits.explain_pending:
            raise problems.overloaded()
        self._pending += 1
        try:
            live, batch = await asyncio.to_thread(self._read, body, content_type, choose)
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._thread, self._ask, live, batch, until)
        finally:
            self._pending -= 1
        return _document(live, batch, found)

    def close(self) -> None:
        """Break off what is in progress and end the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._process.close()

    def _read(self, body: bytes, content_type: str, choose: Choose) -> tuple[Live, Batch]:
        live = choose(None)
        with batches.shallow():
            batch = codecs.rows(body, content_type, live.model, self._row_limits).batch
        if not batch.rows:
            raise errors.RequestError("The request has no rows.", remedy="Send at least one.")
        chosen = choose(batch.ids)
        if chosen.model.features != live.model.features:
            batch = codecs.rows(body, content_type, chosen.model, self._row_limits).batch
        return chosen, batch

    def _ask(self, live: Live, batch: Batch, until: float | None) -> Attribution:
        limits = self._limits
        left = limits.explain_seconds if until is None else until - time.perf_counter()
        if left <= 0:
            raise problems.too_late()
        missing = next((name for name in _NEEDED if importlib.util.find_spec(name) is None), None)
        if missing is not None:
            raise _not_installed(missing)
        if live.folder is None:
            raise _unexplained(HTTPStatus.INTERNAL_SERVER_ERROR, "its files are not here")
        budget = Budget(limits.explain_evaluations, min(limits.explain_seconds, left))
        columns = batch.columns if live.replacer is None else live.replacer.columns(batch.columns)
        question = Question(live.folder, columns, budget)
        try:
            found = self._process.ask(question, limits.explain_deadline_seconds)
        except Stopped as error:
            raise _unexplained(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        except errors.Failure as error:
            raise _unexplained(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
        if until is not None and time.perf_counter() > until:
            raise problems.too_late()
        return found


def _not_installed(package: str) -> Problem:
    return Problem(
        HTTPStatus.NOT_IMPLEMENTED,
        "not-explained",
        f"This server does not explain predictions: `{package}` is not installed."
        ' `pip install "pilotage[estimators]"`, or the serving image whose tag ends in `-estimators`.',
    )


def _unexplained(status: HTTPStatus, reason: str) -> Problem:
    advice = "Send fewer rows, or try again." if status is HTTPStatus.SERVICE_UNAVAILABLE else "See its log."
    return Problem(status, "not-explained", f"The version could not be explained: {reason}. {advice}")


def _document(live: Live, batch: Batch, found: Attribution) -> bytes:
    return codecs.dump(
        {"model": live.model.pilot, "version": live.version, "ids": batch.ids, **found.document()}
    )
