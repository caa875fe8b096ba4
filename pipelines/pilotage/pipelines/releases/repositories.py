"""What the rest of this package asks of a git repository, wherever it is.

A repository is looked at as a whole (`see`) and changed by moving one branch from a known commit to a
new one (`advance`), which fails when somebody else was faster. What is in commits is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dulwich.objects import Commit, ObjectID, ShaFile

from pilotage.core import errors
from pilotage.pipelines.releases.trees import Store


class Moved(Exception):
    """A branch is not where it was when it was looked at; look again."""


class TooShallow(Exception):
    """The answer lies in commits that were not fetched; look deeper."""


@dataclass(frozen=True)
class Sight:
    """A repository at one moment."""

    store: Store
    heads: Mapping[str, ObjectID]
    """Commits of branches, by name."""
    default: str
    """The branch that it begins with."""
    shallow: frozenset[ObjectID] = field(default_factory=frozenset)
    """Commits whose parents were not fetched."""

    def commit(self, sha: ObjectID) -> Commit:
        """The commit of that name.

        Raises:
            TooShallow: it was not fetched.
            DataError: it is no commit.
        """
        try:
            found = self.store[sha]
        except KeyError as error:
            raise TooShallow from error
        if not isinstance(found, Commit):
            raise errors.DataError(f"Git object {sha.decode()} is no commit: the repository is damaged.")
        return found

    def parents(self, sha: ObjectID) -> list[ObjectID]:
        """Commits that a commit follows.

        Raises:
            TooShallow: they were not fetched.
        """
        if sha in self.shallow:
            raise TooShallow
        return list(self.commit(sha).parents)

    def tree(self, head: ObjectID | None) -> ObjectID | None:
        """The tree of a commit; None of none."""
        return None if head is None else self.commit(head).tree


class Repository(Protocol):
    """A git repository."""

    location: str
    """Path or URL, without any secret."""

    def see(self, branches: Sequence[str], depth: int | None) -> Sight:
        """The heads of `branches` ("" for the default one) with `depth` commits of their history, or all.

        Raises:
            Unavailable: it did not answer.
            NotFound: there is none.
            SettingsError: its credentials are wrong.
        """
        ...

    def advance(
        self, branch: str, old: ObjectID | None, new: ObjectID, objects: Sequence[ShaFile], path: str
    ) -> None:
        """Move `branch` from `old` to `new`, whose `objects` are new; only `path` differs between them.

        Raises:
            Moved: the branch is elsewhere by now.
            Unavailable: it did not answer; the branch may have been moved or not.
            Refusal: it does not want this.
        """
        ...
