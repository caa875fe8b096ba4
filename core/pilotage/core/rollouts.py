"""Where rollouts are kept, for servers, which obey and count, and for the controller, which decides.

A rollout is one file that the controller alone rewrites, all or nothing. Each
replica of a server writes what it counted, and why it stopped, into files of
its own beside it. What counts mean is in `bounds`.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TypeVar

from pydantic import AwareDatetime, ValidationError

from pilotage.core import bounds, errors
from pilotage.core.artifacts import Comparison, Part, Rollout
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage

logger = logging.getLogger(__name__)

TAG = "pilotage.rollout"
"""Tag of a version that says how its rollout ended."""
PartT = TypeVar("PartT", bound=Part)


class Halt(Part):
    """A replica's word that it stopped sending to the challenger."""

    replica: str
    reason: str
    at: AwareDatetime


def folder(pilot: str) -> str:
    """Folder in the storage of a pilot's rollouts."""
    return f"rollouts/{pilot}"


def record_name(pilot: str, challenger: int) -> str:
    """Name in the storage of the rollout of version `challenger`."""
    return f"{folder(pilot)}/{challenger}.json"


def comparison_name(pilot: str, challenger: int, replica: str) -> str:
    """Name in the storage of what one replica counted."""
    return f"{folder(pilot)}/{challenger}/comparison-{replica}.json"


def halt_name(pilot: str, challenger: int, replica: str) -> str:
    """Name in the storage of one replica's halt."""
    return f"{folder(pilot)}/{challenger}/halt-{replica}.json"


def begin(storage: Storage, spec: PilotSpec, champion: int, challenger: int, now: datetime) -> Rollout:
    """The rollout of `challenger`, stored as running; the one that is there if it began before."""
    known = read(storage, spec.pilot, challenger)
    if known is not None:
        return known
    plan = spec.serve.rollout
    made = Rollout(
        pilot=spec.pilot,
        champion=champion,
        challenger=challenger,
        strategy=plan.strategy,
        steps=plan.shares,
        pause_seconds=plan.pause.total_seconds(),
        bounds=plan.bounds,
        min_requests=plan.min_requests,
        started_at=now,
        step_started_at=now,
    )
    write(storage, made)
    return made


def write(storage: Storage, rollout: Rollout) -> None:
    """Store a rollout, all or nothing."""
    name = record_name(rollout.pilot, rollout.challenger)
    storage.write(name, (rollout.model_dump_json(indent=2) + "\n").encode())


def read(storage: Storage, pilot: str, challenger: int) -> Rollout | None:
    """The rollout of version `challenger`; None when it has none.

    Raises:
        DataError: its file is no rollout of this version of Pilotage.
    """
    name = record_name(pilot, challenger)
    try:
        return Rollout.model_validate_json(storage.read(name))
    except errors.NotFound:
        return None
    except ValidationError as error:
        raise errors.DataError(
            f"`{storage.location(name)}` is not a rollout of this version: {error}.",
            remedy="Remove the file, or promote a version by hand.",
        ) from error


def find(storage: Storage, pilot: str) -> list[Rollout]:
    """A pilot's rollouts, newest first; what is not one is left out."""
    found = []
    for name in storage.names(folder(pilot)):
        challenger, dot, rest = name.removeprefix(f"{folder(pilot)}/").partition(".")
        if not challenger.isdecimal() or f"{dot}{rest}" != ".json":
            continue
        try:
            rollout = read(storage, pilot, int(challenger))
        except errors.DataError as error:
            logger.warning("%s", error)
            continue
        if rollout is not None:
            found.append(rollout)
    return sorted(found, key=lambda rollout: (rollout.started_at, rollout.challenger), reverse=True)


def running(storage: Storage, pilot: str) -> Rollout | None:
    """The pilot's rollout that goes on; the newest when a crash left several."""
    return next((rollout for rollout in find(storage, pilot) if rollout.running), None)


def halts(storage: Storage, rollout: Rollout) -> list[Halt]:
    """What replicas said that stopped sending to the challenger, the earliest first."""
    found = _parts(storage, rollout, "halt-", Halt)
    return sorted(found, key=lambda halt: (halt.at, halt.replica))


def compared(storage: Storage, rollout: Rollout) -> Comparison:
    """What all replicas counted together in the step that goes on."""
    whole = Comparison(pilot=rollout.pilot, step=rollout.step)
    for part in _parts(storage, rollout, "comparison-", Comparison):
        if part.step == rollout.step:
            whole = bounds.merge(whole, part)
    return whole


def _parts(storage: Storage, rollout: Rollout, prefix: str, kind: type[PartT]) -> list[PartT]:
    place = f"{folder(rollout.pilot)}/{rollout.challenger}"
    found = []
    for name in storage.names(place):
        if name.rsplit("/", 1)[-1].startswith(prefix):
            try:
                found.append(kind.model_validate_json(storage.read(name)))
            except (errors.NotFound, ValidationError):
                logger.warning("%s is left out: it is no %s", storage.location(name), kind.__name__)
    return found
