"""One pilot in service: its versions, its data plane, its batches, its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilotage.core import errors
from pilotage.core.artifacts import Scalar
from pilotage.core.metrics import Task
from pilotage.core.personal.replacements import Replacer
from pilotage.core.pilots import Pilot
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.serving.inference.batchers import Batcher, Done
from pilotage.serving.inference.planes import DataPlane, Reply
from pilotage.serving.inference.works import Request
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches
from pilotage.serving.records import labels, spellings
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.records.spellings import Unknown
from pilotage.serving.telemetry import scores
from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.versions import shadows
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live
from pilotage.serving.versions.shadows import Shadow


@dataclass(frozen=True)
class Receipt:
    """What became of labels that were sent."""

    stored: int
    version: int | None = None
    """That they were compared with; None while none is live."""
    unknown: tuple[Unknown, ...] = ()
    """Those that it does not understand; they are stored, too."""
    classes: tuple[Scalar, ...] = ()
    """That it tells."""

    @property
    def rows(self) -> int:
        """Labels that it does not understand."""
        return sum(each.rows for each in self.unknown)


class Endpoint:
    """Answers the requests of one pilot."""

    def __init__(
        self,
        pilot: Pilot,
        settings: Settings,
        limits: Limits,
        storage: Storage,
        meters: Meters,
        *,
        also: Sequence[int] = (),
        pin: int | None = None,
    ) -> None:
        self.name = pilot.name
        self.spec = pilot.spec
        self.meters = meters
        self._limits = limits
        self._storage = storage
        self._stored_id = Replacer.of_ids(pilot.spec.data, settings)
        self.recorder = Recorder(
            pilot.name,
            pilot.spec.monitor.window,
            settings,
            storage,
            limits.recorder_rows,
            on_drop=meters.dropped.inc,
            on_flush=self._flushed,
            on_scores=self._scored,
        )
        self.follower = Follower(
            pilot.name,
            settings,
            Registry(settings),
            also=also,
            pin=pin,
            replica=self.recorder.replica,
            on_swap=self._swapped,
            on_failure=self._swap_failed,
        )
        self.shadow = Shadow(
            self.follower,
            lambda: Recorder(
                pilot.name,
                pilot.spec.monitor.window,
                settings,
                Storage(f"{settings.storage.rstrip('/')}/{shadows.FOLDER}"),
                limits.recorder_rows,
            ),
        )
        recorder = self.recorder if settings.record else None
        self.plane = DataPlane(self.follower, recorder, limits, self.shadow)
        self.batcher = Batcher(self.plane, meters, pilot.spec.serve.p99_ms / 1000, limits.pending)

    def start(self, wait_seconds: float) -> None:
        """Begin to count and to follow the champion; returns once that is loaded, if there is one."""
        self.recorder.start()
        self.follower.start(wait_seconds)

    def stop(self) -> None:
        """Finish what is in progress and write all counts."""
        self.follower.stop()
        self.batcher.close()
        self.shadow.close()
        self.recorder.close()

    async def predict(self, request: Request) -> Reply:
        """The answer to a prediction request.

        Raises:
            Problem: too many requests wait, the deadline passed, or see `DataPlane.read`.
            RequestError: a row cannot be taken.
        """
        return await self.batcher.answer(request)

    def submit(self, request: Request, done: Done) -> None:
        """The same for callers on the event loop that do without a coroutine: `done` gets the outcome."""
        self.batcher.submit(request, done)

    def refused(self) -> None:
        """Count a prediction request that ended in an error."""
        self.meters.refused.inc()
        self.plane.refused()

    def keep_labels(self, body: bytes, content_type: str) -> Receipt:
        """Store a body of labels durably. Blocks.

        A class that the live version does not know is kept, because the next version may know it; a label
        of a regression that is no number is refused, because none ever will.

        Raises:
            Problem: the body is not JSON or has too many labels.
            RequestError: an id or a label cannot be taken.
        """
        with batches.shallow():
            return self._keep_labels(body, content_type)

    def _keep_labels(self, body: bytes, content_type: str) -> Receipt:
        document = batches.check_keys(batches.parse_json(body, content_type), ("ids", "labels"), ("times",))
        ids = batches.check_list(document["ids"], "ids", self._limits.labels)
        given = batches.check_list(document["labels"], "labels", self._limits.labels)
        if self.spec.task is Task.REGRESSION:
            _check_numbers(given)
        times = document.get("times")
        if times is not None:
            times = batches.check_list(times, "times", self._limits.labels)
        stored = labels.store_labels(self._storage, self.name, ids, given, times, self._stored_id)
        self.meters.labels.inc(stored)
        live = self.follower.live
        if live is None:
            return Receipt(stored)
        texts = [labels.label_text(value, position) for position, value in enumerate(given)]
        return Receipt(stored, live.version, tuple(spellings.unknown(texts, live.model)), live.model.classes)

    def _swapped(self, live: Live) -> None:
        self.meters.swaps.inc()

    def _swap_failed(self, version: int) -> None:
        self.meters.swap_failures.inc()

    def _scored(self, live: Live, values: npt.NDArray[np.float64]) -> None:
        counts = scores.count(values, numbers=live.model.task is Task.REGRESSION)
        self.meters.version(self.name, live.version).scored(counts)

    def _flushed(self, ok: bool) -> None:
        if not ok:
            self.meters.flush_failures.inc()


def _check_numbers(values: list[Scalar]) -> None:
    for position, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise errors.RequestError(
                f"Row {position}: label is {repr(value)[:60]}, expected a number.", row=position
            )
