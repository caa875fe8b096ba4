"""What git says happened to one file: which commit made it what it is, and what it was before.

History is followed as `git log -- FILE` does: at a merge, along the parent whose file is the same, so
that the commit is found that changed it, and not the merge that brought it in.
"""

from __future__ import annotations

from dulwich.objects import ObjectID

from pilotage.pipelines.releases import trees
from pilotage.pipelines.releases.repositories import Sight

DEPTHS = (1, 50, 1000, None)
"""Commits of history that are fetched, one after the other, until the answer is among them."""


def last_change(sight: Sight, head: ObjectID, path: str) -> ObjectID | None:
    """The commit that made the file at `path` what it is at `head`; None when it never was.

    Raises:
        TooShallow: that commit was not fetched.
    """
    sha, mine = head, _blob(sight, head, path)
    while True:
        parents = sight.parents(sha)
        same = next((parent for parent in parents if _blob(sight, parent, path) == mine), None)
        if same is None:
            return None if mine is None and not parents else sha
        sha = same


def before(sight: Sight, change: ObjectID, path: str) -> bytes | None:
    """The file at `path` before the commit `change`; None when there was none.

    Raises:
        TooShallow: the commit before was not fetched.
    """
    parents = sight.parents(change)
    return None if not parents else trees.read(sight.store, sight.commit(parents[0]).tree, path)


def is_ancestor(sight: Sight, one: ObjectID, other: ObjectID) -> bool:
    """Whether `other` is `one` or came after it.

    Raises:
        TooShallow: that cannot be told from what was fetched.
    """
    waiting, seen = [other], {other}
    while waiting:
        sha = waiting.pop()
        if sha == one:
            return True
        for parent in sight.parents(sha):
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return False


def _blob(sight: Sight, sha: ObjectID, path: str) -> ObjectID | None:
    found = trees.entry(sight.store, sight.commit(sha).tree, path)
    return None if found is None else found[1]
