"""Everything one server is made of, wired together and started and stopped in order."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from pilotage.core import errors
from pilotage.core.artifacts import Scalar
from pilotage.core.metrics import Task
from pilotage.core.pilots import Pilot
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.serving import problems
from pilotage.serving.inference.planes import DataPlane, Request
from pilotage.serving.inference.queues import Line
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches
from pilotage.serving.records import labels
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.versions.champions import Follower, Live
from pilotage.serving.web.bodies import Intake


class Service:
    """The model server of one pilot, without its HTTP shell."""

    def __init__(self, pilot: Pilot, settings: Settings, limits: Limits) -> None:
        self.name = pilot.name
        self.limits = limits
        self.draining = False
        """Whether the server is about to stop: it answers, but asks balancers for no more requests."""
        self.intake = Intake(limits)
        self.meters = Meters([pilot.name])
        self._task = pilot.spec.task
        self._storage = Storage(settings.storage)
        self.recorder = Recorder(
            pilot.name,
            pilot.spec.monitor.window,
            settings,
            self._storage,
            limits.recorder_rows,
            on_drop=self.meters.dropped.inc,
            on_flush=self._flushed,
        )
        self.follower = Follower(
            pilot.name,
            settings,
            Registry(settings),
            on_swap=self._swapped,
            on_failure=self._swap_failed,
        )
        self.plane = DataPlane(self.follower, self.recorder, limits)
        self._line = Line(self.plane, limits.pending)
        self._storing = ThreadPoolExecutor(1, "labels")

    def start(self) -> None:
        """Begin to count and to follow the champion; returns once that is loaded, if there is one."""
        self.recorder.start()
        self.follower.start(self.limits.first_load_seconds)

    def stop(self) -> None:
        """Finish what is in progress and write all counts."""
        self.follower.stop()
        self._line.close()
        self._storing.shutdown()
        self.recorder.close()

    def ready(self) -> Live:
        """What answers now, for health checks.

        Raises:
            Problem: the server is about to stop, or nothing is live.
        """
        if self.draining:
            raise problems.draining()
        return self.plane.live()

    async def predict(self, request: Request) -> bytes:
        """The answer's body to a prediction request, computed off the event loop.

        Raises:
            Problem: too many requests wait, or see `DataPlane.infer`.
            RequestError: a row cannot be taken.
        """
        reply = await self._line.answer(request)
        self.meters.rows.inc(reply.rows)
        return reply.body

    def refused(self) -> None:
        """Count a prediction request that ended in an error."""
        self.meters.refused.inc()
        self.plane.refused()

    async def keep_labels(self, body: bytes, content_type: str) -> int:
        """Store a body of labels durably; returns how many.

        Raises:
            Problem: the body is not JSON or has too many labels.
            RequestError: an id or a label cannot be taken.
        """
        loop = asyncio.get_running_loop()
        stored = await loop.run_in_executor(self._storing, self._keep_labels, body, content_type)
        self.meters.labels.inc(stored)
        return stored

    def _keep_labels(self, body: bytes, content_type: str) -> int:
        document = batches.check_keys(batches.parse_json(body, content_type), ("ids", "labels"))
        ids = batches.check_list(document["ids"], "ids", self.limits.labels)
        given = batches.check_list(document["labels"], "labels", self.limits.labels)
        if self._task is Task.REGRESSION:
            _check_numbers(given)
        return labels.store_labels(self._storage, self.name, ids, given)

    def _swapped(self, live: Live) -> None:
        self.meters.swaps.inc()

    def _swap_failed(self, version: int) -> None:
        self.meters.swap_failures.inc()

    def _flushed(self, ok: bool) -> None:
        if not ok:
            self.meters.flush_failures.inc()


def _check_numbers(values: list[Scalar]) -> None:
    for position, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise errors.RequestError(
                f"Row {position}: label is {repr(value)[:60]}, expected a number.", row=position
            )
