"""Workers that do something together, or one thing after the other each, and are replaced when they are lost.

A worker is a process that Ray keeps; it calls functions of this package and remembers what they hold. What
they compute is not known here. Whoever asks for something that needs all workers at once is told of a loss
and begins again, from a checkpoint if there is one.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pilotage.components.distributed import clusters
from pilotage.core import errors
from pilotage.core.errors import WorkerLost
from pilotage.core.settings import Settings
from pilotage.core.specs import Resources

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 10.0
"""How long the others are waited for when one worker has failed: one of them may turn out to be lost."""
_HIRED_SECONDS = 120.0


@dataclass(frozen=True)
class Member:
    """Where a worker is."""

    rank: int
    pid: int
    host: str
    """Address at which the other workers reach it."""


@dataclass(frozen=True)
class _Outcome:
    """What became of a call, told without an exception, which Ray would wrap."""

    value: Any = None
    error: errors.PilotageError | None = None
    trace: str = ""
    warnings: tuple[str, ...] = ()


class _Worker:
    """What Ray runs in a process of its own."""

    def about(self, rank: int) -> Member:
        import ray

        host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return Member(rank, os.getpid(), str(host))

    def call(self, function: Callable[..., Any], *arguments: Any) -> _Outcome:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value, error, trace = function(*arguments), None, ""
            except errors.PilotageError as failure:
                value, error, trace = None, failure, ""
            except Exception as failure:
                text = " ".join(str(failure).split())
                value, trace = None, traceback.format_exc()
                error = errors.Failure(f"{type(failure).__name__}: {text}".rstrip(" .:"))
        said = dict.fromkeys(f"{item.category.__name__}: {item.message}" for item in caught)
        return _Outcome(value, error, trace, tuple(said))


class Team:
    """`size` workers on one Ray."""

    def __init__(self, ray: Any, settings: Settings, resources: Resources) -> None:
        self.size = resources.workers
        self.restarts = 0
        """How often workers that were lost were replaced."""
        self.members: tuple[Member, ...] = ()
        self._ray, self._settings, self._resources = ray, settings, resources
        self._handles: list[Any] = []
        self._told: set[str] = set()

    def hire(self) -> None:
        """Get every worker's process going.

        Raises:
            Unavailable: there was no room for all of them in time.
        """
        self._handles = [self._new() for _ in range(self.size)]
        self.members = tuple(self._about(rank) for rank in range(self.size))

    def dismiss(self) -> None:
        """End every worker's process."""
        for handle in self._handles:
            self._ray.kill(handle)
        self._handles = []

    def renew(self, lost: WorkerLost) -> None:
        """All workers anew, after `lost`.

        Raises:
            StepFailed: that happened too often.
        """
        self._count(lost)
        self.dismiss()
        self.hire()

    def share(self, value: Any) -> Any:
        """What stands for `value` among the arguments of calls, so that it is sent to each machine once."""
        return self._ray.put(value)

    def ask(self, rank: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns in one worker. Raises WorkerLost, or what `function` raises."""
        return self._gather([self._handles[rank].call.remote(function, *arguments)])[0]

    def together(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What `function` returns in every worker at the same time, with its rank's `arguments`.

        Raises:
            WorkerLost: one is gone, or one alone failed, which the others cannot go on without.
            PilotageError: what `function` raised in every worker, or wherever the input was wrong.
        """
        pairs = zip(self._handles, arguments, strict=True)
        return self._gather([handle.call.remote(function, *given) for handle, given in pairs])

    def each(
        self, function: Callable[..., Any], items: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """What `function` returns for each of `items`, with its place among them, in the order that they end.

        Items go to whoever is free; as many as there are workers are under way, so `items` may be endless.
        A worker that is lost is replaced and its item is given to another.

        Raises:
            PilotageError: what `function` raised.
            StepFailed: workers were lost too often.
        """
        waiting = enumerate(items)
        again: deque[tuple[int, tuple[Any, ...]]] = deque()
        under_way: dict[Any, tuple[int, int, tuple[Any, ...]]] = {}
        free = deque(range(self.size))
        while True:
            while free:
                taken = again.popleft() if again else next(waiting, None)
                if taken is None:
                    break
                rank = free.popleft()
                under_way[self._handles[rank].call.remote(function, *taken[1])] = (rank, *taken)
            if not under_way:
                return
            done, _ = self._ray.wait(list(under_way), num_returns=1)
            rank, place, given = under_way.pop(done[0])
            free.append(rank)
            try:
                yield place, self._value(self._outcome(done[0]))
            except WorkerLost as lost:
                self._count(lost)
                self._handles[rank] = self._new()
                self._about(rank)
                again.append((place, given))

    def _new(self) -> Any:
        asked = clusters.demand(self._resources)
        actor = self._ray.remote(_Worker).options(
            num_cpus=asked["CPU"],
            num_gpus=asked.get("GPU", 0.0),
            memory=asked.get("memory"),
            max_restarts=0,
            max_task_retries=0,
        )
        return actor.remote()

    def _about(self, rank: int) -> Member:
        waiting = self._handles[rank].about.remote(rank)
        patience = max(self._settings.ray_patience_seconds, _HIRED_SECONDS)
        ready, _ = self._ray.wait([waiting], timeout=patience)
        if not ready:
            raise errors.Unavailable(
                f"There was no room for worker {rank + 1} of {self.size} within {patience:g} s.",
                remedy="Wait until others are done, add nodes, or ask for less in `resources`.",
            )
        try:
            member: Member = self._ray.get(waiting)
        except self._ray.exceptions.RayActorError as error:
            raise errors.StepFailed(
                f"Worker {rank + 1} of {self.size} ended while it started.",
                remedy="Look whether its machine has Pilotage installed, and memory left.",
            ) from error
        logger.info("worker %d of %d is process %d on %s", rank + 1, self.size, member.pid, member.host)
        return member

    def _gather(self, waiting: list[Any]) -> list[Any]:
        """Values in order; the first failure ends it, once it is known whether a loss is behind it."""
        pending = list(waiting)
        until: float | None = None
        failure: errors.PilotageError | None = None
        found: dict[Any, _Outcome] = {}
        while pending:
            patience: float | None = None if until is None else max(0.0, until - time.monotonic())
            done, pending = self._ray.wait(pending, num_returns=1, timeout=patience)
            if not done:
                raise WorkerLost(f"Workers do not go on after one failed: {failure}")
            outcome = self._outcome(done[0])
            if isinstance(outcome.error, errors.InputError):
                raise outcome.error
            found[done[0]] = outcome
            if outcome.error is not None and failure is None:
                failure, until = outcome.error, time.monotonic() + _GRACE_SECONDS
                logger.debug("a worker failed: %s", outcome.trace)
        outcomes = [found[reference] for reference in waiting]
        if failure is not None and any(outcome.error is None for outcome in outcomes):
            raise WorkerLost(f"One worker failed alone: {failure}")
        return [self._value(outcome) for outcome in outcomes]

    def _outcome(self, reference: Any) -> _Outcome:
        try:
            outcome: _Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            raise WorkerLost(f"A worker's process is gone: {' '.join(str(error).split())}") from error
        for text in outcome.warnings:
            if text not in self._told:
                self._told.add(text)
                logger.warning("a worker says: %s", text)
        return outcome

    def _value(self, outcome: _Outcome) -> Any:
        if outcome.error is not None:
            if outcome.trace:
                logger.error("in a worker: %s", outcome.trace)
            raise outcome.error
        return outcome.value

    def _count(self, lost: WorkerLost) -> None:
        if self.restarts >= self._settings.ray_restarts:
            raise errors.StepFailed(
                f"Workers were lost {self.restarts + 1} times. The last time: {lost.message}",
                remedy="Give them more `memory` in `resources`, or raise PILOTAGE_RAY_RESTARTS.",
            ) from lost
        self.restarts += 1
        logger.warning(
            "%s; replaced, %d of %d times", lost.message, self.restarts, self._settings.ray_restarts
        )


@contextmanager
def formed(settings: Settings, resources: Resources) -> Iterator[Team]:
    """A team as `resources` asks for; its processes end with the block.

    Raises as `clusters.opened` and `Team.hire`.
    """
    with clusters.opened(settings, resources) as ray:
        team = Team(ray, settings, resources)
        try:
            team.hire()
            yield team
        finally:
            team.dismiss()
