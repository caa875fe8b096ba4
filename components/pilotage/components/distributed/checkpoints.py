"""How far a training is, kept in the storage, so that who begins it again begins there.

A checkpoint counts for one piece of work only: the same run, the same rows, estimator, parameters and
number of workers. It is removed when the work is done. What a state means is the estimator's affair.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_STEP_BYTES = 8


@dataclass(frozen=True)
class Checkpoint:
    """A state on the way."""

    step: int
    """Rounds or epochs that are done."""
    state: bytes


@dataclass(frozen=True)
class Checkpoints:
    """Where the states of one piece of work are kept."""

    settings: Settings
    name: str
    """Of the file in the storage."""

    @classmethod
    def of(cls, settings: Settings, run: str, work: Mapping[str, Any]) -> Checkpoints:
        """Those of a run's `work`, what decides its outcome."""
        words = json.dumps(work, sort_keys=True, default=str)
        return cls(settings, f"checkpoints/{run}/{hashlib.sha256(words.encode()).hexdigest()[:16]}")

    def keep(self, checkpoint: Checkpoint) -> None:
        """Take the place of an earlier one."""
        body = checkpoint.step.to_bytes(_STEP_BYTES) + checkpoint.state
        Storage(self.settings.storage).write(self.name, hashlib.sha256(body).digest() + body)

    def latest(self) -> Checkpoint | None:
        """The last one that was kept, if it is whole."""
        try:
            data = Storage(self.settings.storage).read(self.name)
        except errors.NotFound:
            return None
        digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            logger.warning("the checkpoint %s is damaged; training begins anew", self.name)
            return None
        return Checkpoint(int.from_bytes(body[:_STEP_BYTES]), body[_STEP_BYTES:])

    def remove(self) -> None:
        """Forget it, with the folder of its run."""
        Storage(self.settings.storage).delete(self.name.rpartition("/")[0])
