"""Gets one commit into a repository, whoever else writes there and however often the network fails.

Each attempt looks at the repository as it is now and plans anew on its head, so nobody's commit is lost and
what is there already is not made twice. An answer that was lost leaves open whether the commit is
in; the next look tells. What the commit says is planned elsewhere.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dulwich.objects import Commit, ObjectID, ShaFile

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.releases import signers, trees
from pilotage.pipelines.releases.histories import DEPTHS
from pilotage.pipelines.releases.messages import Message, line
from pilotage.pipelines.releases.repositories import Moved, Repository, Sight, TooShallow

logger = logging.getLogger(__name__)

MOST_RACES = 50
"""How often somebody else may be faster."""
MOST_FAILURES = 4
"""How often the network may fail."""
_LONGEST_WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """A commit that is to be made."""

    branch: str
    old: ObjectID | None
    """Where the branch is."""
    parents: tuple[ObjectID, ...]
    tree: ObjectID | None
    """What the file is put into."""
    path: str
    data: bytes
    message: Message


@dataclass(frozen=True)
class Standing:
    """There is nothing to commit: this commit says it already."""

    branch: str
    commit: ObjectID


@dataclass(frozen=True)
class Made:
    """What came of it."""

    branch: str
    commit: str
    changed: bool
    """False when it was there before."""
    signed: bool


Found = TypeVar("Found")
Planner = Callable[[Sight], Plan | Standing]


def make(
    settings: Settings, repository: Repository, branches: Sequence[str], plan: Planner, *, by: str
) -> Made:
    """Carry out what `plan` makes of `branches`, until it is in the repository.

    Raises:
        Unavailable: the network failed too often.
        Failure: others were faster too often.
        PilotageError: what `plan` and the repository raise.
    """
    depth, failures, races = 0, 0, 0
    ours: set[ObjectID] = set()
    while True:
        try:
            sight = repository.see(branches, DEPTHS[depth])
            planned = plan(sight)
            if isinstance(planned, Standing):
                changed = planned.commit in ours
                return Made(planned.branch, planned.commit.decode(), changed, _signs(settings) and changed)
            commit, objects = _commit(settings, sight.store, planned, by)
            ours.add(commit)
            repository.advance(planned.branch, planned.old, commit, objects, planned.path)
            return Made(planned.branch, commit.decode(), True, _signs(settings))
        except TooShallow as error:
            depth += 1
            if depth == len(DEPTHS):
                raise _cut_off(repository.location) from error
        except Moved as error:
            races += 1
            if races > MOST_RACES:
                raise errors.Failure(
                    f"Others were faster than us {MOST_RACES} times on `{repository.location}`.",
                    remedy="Try again.",
                ) from error
            _wait(races)
        except errors.Unavailable as error:
            failures += 1
            if failures >= MOST_FAILURES:
                raise
            logger.warning("%s", error)
            _wait(failures + 2)


def look(repository: Repository, branches: Sequence[str], find: Callable[[Sight], Found]) -> Found:
    """What `find` sees, in as much history as it needs.

    Raises:
        PilotageError: what `find` and the repository raise.
    """
    depth, failures = 0, 0
    while depth < len(DEPTHS):
        try:
            return find(repository.see(branches, DEPTHS[depth]))
        except TooShallow:
            depth += 1
        except errors.Unavailable:
            failures += 1
            if failures >= MOST_FAILURES:
                raise
            _wait(failures + 2)
    raise _cut_off(repository.location)


def _commit(settings: Settings, store: trees.Store, plan: Plan, by: str) -> tuple[ObjectID, list[ShaFile]]:
    """The commit, signed where the settings name a key, and every object that is new."""
    tree, objects = trees.replace(store, plan.tree, plan.path, plan.data)
    made = Commit()
    made.tree = tree
    made.parents = list(plan.parents)
    made.author, made.committer = author(by), settings.release_committer.encode()
    made.author_time = made.commit_time = int(time.time())
    made.author_timezone = made.commit_timezone = 0
    made.message = str(plan.message).encode()
    if settings.release_key_file is not None:
        made.gpgsig = signers.sign(made.as_raw_string(), settings.release_key_file).rstrip(b"\n")
    return made.id, [*objects, made]


def author(by: str) -> bytes:
    """Somebody as git writes people; who has no address gets one that leads nowhere."""
    name = line(by.translate({ord(letter): " " for letter in "<>"}), 100) or "unknown"
    address = name.replace(" ", ".") if "@" in name else f"{name.replace(' ', '.')}@localhost"
    return f"{name} <{address}>".encode()


def _signs(settings: Settings) -> bool:
    return settings.release_key_file is not None


def _wait(times: int) -> None:
    """Longer each time, and not the same as others wait."""
    time.sleep(random.uniform(0, min(_LONGEST_WAIT_SECONDS, 0.02 * 2.0**times)))  # noqa: S311 - no secret


def _cut_off(location: str) -> errors.Failure:
    return errors.Failure(
        f"The history in `{location}` is cut off before the commit that is needed.",
        remedy="Use a repository with its whole history (`git fetch --unshallow`).",
    )
