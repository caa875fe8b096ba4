"""The controller of rollouts beside a model server: looks every few seconds, and acts in another process.

Looking takes little; what a step or a promotion takes (MLflow, the database) is
loaded by the other process, so that no request waits for it. Pilots whose versions
are swapped at once need none of this. What is decided is in `pipelines.rollouts`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pilotage.core.settings import Settings
from pilotage.core.specs import Strategy

if TYPE_CHECKING:
    from pilotage.core.pilots import Pilot

logger = logging.getLogger(__name__)

_LEAST_SECONDS = 2.0
"""Between two looks."""
_TIMEOUT_SECONDS = 120.0


@contextmanager
def controlling(pilots: Sequence[Pilot], settings: Settings) -> Iterator[None]:
    """Settle the rollouts of `pilots`, of those that have any, until the block ends."""
    names = [pilot.name for pilot in pilots if pilot.spec.serve.rollout.strategy is not Strategy.SWAP]
    if not names:
        yield
        return
    stopped = threading.Event()
    thread = threading.Thread(
        target=_control, args=(names, settings, stopped), name="controller", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=5)


def _control(names: Sequence[str], settings: Settings, stopped: threading.Event) -> None:
    every = max(_LEAST_SECONDS, settings.poll_seconds)
    while not stopped.wait(every):
        for name in names:
            try:
                _look(name, settings)
            except Exception as error:
                logger.warning("the rollouts of %s cannot be settled, trying again: %s", name, error)


def _look(name: str, settings: Settings) -> None:
    from pilotage.core import rollouts
    from pilotage.core.storage import Storage

    if all(rollout.ended_at is not None for rollout in rollouts.find(Storage(settings.storage), name)):
        return
    from pilotage.pipelines.decisions.rollouts import due
    from pilotage.pipelines.machines import environments

    if not due(settings, name):
        return
    done = subprocess.run(  # noqa: S603 - our own module in our own interpreter
        [sys.executable, "-m", "pilotage.pipelines", "settle", name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **environments.variables(settings)},
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        logger.warning("the rollout of %s could not be settled: %s", name, done.stderr.strip()[-1000:])
