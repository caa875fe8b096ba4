"""Where a change goes: on top of the branch that says what runs, or on a branch of its own for a request.

A branch of its own is only ever added to, so that nothing somebody put there is lost. While its request is
open, the change goes on top of it. Where an earlier request with the same branch was merged or closed,
the change begins at the head of the main branch again, with the old tip as a second parent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dulwich.objects import ObjectID

from pilotage.core import errors
from pilotage.pipelines.releases import histories, trees, values
from pilotage.pipelines.releases.changes import Plan, Standing
from pilotage.pipelines.releases.messages import Message, trailers_of
from pilotage.pipelines.releases.repositories import Sight


@dataclass(frozen=True)
class Wish:
    """What the file is to be, and what the commit says."""

    data: bytes
    message: Message
    version: int
    replaced: int | None


Wisher = Callable[[Sight, ObjectID | None], Wish | None]
"""What is wanted on top of a commit; None where it says so already."""


class Planner:
    """Plans a change again for each look at the repository, and keeps what came of the last one."""

    def __init__(self, branch: str, path: str, wish: Wisher) -> None:
        self._branch = branch
        self._path = path
        self._wish = wish
        self.wish: Wish | None = None
        """What is planned; None where nothing has to be."""
        self.replaced: int | None = None
        """What the file said before the last plan."""
        self.said: dict[str, str] = {}
        """Trailers of the commit that says so already."""
        self.version: int | None = None
        """What the file says then."""
        self.is_in_force = True
        """Whether the change, made or standing, is on the main branch."""

    def __call__(self, sight: Sight) -> Plan | Standing:
        """On top of the branch that says what runs."""
        branch = self.main(sight)
        head = sight.heads.get(branch)
        self.wish = self._wish(sight, head)
        if self.wish is None:
            return self._standing(sight, branch, head)
        parents = () if head is None else (head,)
        return self._plan(branch, head, parents, sight.tree(head), self.wish)

    def main(self, sight: Sight) -> str:
        """The branch that says what runs."""
        return self._branch or sight.default

    def _standing(self, sight: Sight, branch: str, head: ObjectID | None) -> Standing:
        if head is None:
            raise errors.NotFound(f"There is no branch `{branch}`.")
        sha = histories.last_change(sight, head, self._path) or head
        self.said = trailers_of(sight.commit(sha).message)
        held = values.parsed(trees.read(sight.store, sight.commit(head).tree, self._path))
        self.version = None if held is None else held.model.version
        return Standing(branch, sha)

    def _plan(
        self,
        branch: str,
        old: ObjectID | None,
        parents: tuple[ObjectID, ...],
        tree: ObjectID | None,
        wish: Wish,
    ) -> Plan:
        self.version, self.replaced = wish.version, wish.replaced
        return Plan(branch, old, parents, tree, self._path, wish.data, wish.message)


class Proposer(Planner):
    """Plans it on the branch `name`; `is_open` says whether a request for it is, None where nobody knows."""

    def __init__(
        self, branch: str, path: str, wish: Wisher, name: str, is_open: Callable[[str], bool | None]
    ) -> None:
        super().__init__(branch, path, wish)
        self._name = name
        self._is_open = is_open
        self.base = ""
        """The branch that it is to be merged into."""

    def __call__(self, sight: Sight) -> Plan | Standing:
        """On top of the branch's tip while it waits, else on top of the main branch."""
        self.base = self.main(sight)
        head, tip = sight.heads.get(self.base), sight.heads.get(self._name)
        if head is None:
            raise errors.NotFound(
                f"There is no branch `{self.base}` that a request could go into.",
                remedy="Make a first commit there, or release without `--branch`.",
            )
        if sight.default == self._name:
            raise errors.Conflict(f"Branch `{self._name}` is checked out.", remedy="Check out another.")
        self.is_in_force, self.wish = True, self._wish(sight, head)
        if self.wish is None:
            return self._standing(sight, self.base, head)
        self.is_in_force = False
        if tip is None:
            return self._plan(self._name, None, (head,), sight.tree(head), self.wish)
        if self._waits(sight, tip, head):
            more = self._wish(sight, tip)
            if more is None:
                return self._standing(sight, self._name, tip)
            return self._plan(self._name, tip, (tip,), sight.tree(tip), more)
        parents = (head,) if histories.is_ancestor(sight, tip, head) else (tip, head)
        return self._plan(self._name, tip, parents, sight.tree(head), self.wish)

    def _waits(self, sight: Sight, tip: ObjectID, head: ObjectID) -> bool:
        """Whether the branch is to be merged yet."""
        told = self._is_open(self.base)
        return told if told is not None else not histories.is_ancestor(sight, tip, head)
