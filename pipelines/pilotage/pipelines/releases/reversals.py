"""What taking a release back means: which commit is undone, and what the file was before it.

A commit that took something back, ours or one of `git revert`, is not undone in its turn: behind it lies the
release that it brought back. So repeating a reversal changes nothing, and versions are never
swapped to and fro.
"""

from __future__ import annotations

import re

from dulwich.objects import ObjectID

from pilotage.core import errors
from pilotage.pipelines.releases import histories, trees, values
from pilotage.pipelines.releases.messages import Message, paragraph, trailers_of
from pilotage.pipelines.releases.proposals import Wish
from pilotage.pipelines.releases.repositories import Sight

_BY_GIT = re.compile(rb"^This reverts commit ([0-9a-f]{40})", re.MULTILINE)


def wish(
    sight: Sight,
    head: ObjectID | None,
    path: str,
    pilot: str,
    environment: str,
    *,
    by: str,
    reason: str,
    version: int | None,
) -> Wish | None:
    """The file as it was before its last release; None where that was taken back already.

    Raises:
        NotFound: nothing was released, or nothing before it.
        TooShallow: it was before what was fetched.
    """
    held = None if head is None else trees.read(sight.store, sight.commit(head).tree, path)
    change = None if head is None else histories.last_change(sight, head, path)
    if held is None or change is None:
        raise errors.NotFound(
            f"Git says nothing of `{pilot}` in `{environment}`, so there is nothing to take back.",
            remedy=f"`pilotage release {pilot} VERSION` releases a version.",
        )
    current = values.parsed(held)
    running = None if current is None else current.model.version
    if (version is not None and running != version) or (version is None and reverted(sight, change)):
        return None
    undone = _release(sight, change, path)
    before = histories.before(sight, undone, path)
    previous = values.parsed(before)
    if before is None or previous is None:
        raise errors.NotFound(
            f"Git says nothing of `{pilot}` in `{environment}` before version {running}.",
            remedy=f"`pilotage release {pilot} VERSION` releases any other version.",
        )
    back = previous.model.version
    trailers = {
        "Action": "revert",
        "Pilot": pilot,
        "Environment": environment,
        "Version": str(back),
        "Replaces": "" if running is None else str(running),
        "Reverts": undone.decode(),
        "By": by,
        "Reason": reason,
    }
    body = paragraph("Decision", [("taken back by", by), ("reason", reason)])
    body += f"\n\nThis reverts commit {undone.decode()}."
    subject = f"Take {pilot} back from {running} to {back} in {environment}"
    if running == back:  # another pilot.yaml was released with it
        subject = f"Take the last release of {pilot} {back} back in {environment}"
    return Wish(before, Message(subject, body, trailers), back, running)


def reverted(sight: Sight, change: ObjectID) -> ObjectID | None:
    """The commit that `change` took back; None when it took back none."""
    message = sight.commit(change).message
    said = trailers_of(message)
    if said.get("Action") == "release":
        return None
    named = said.get("Reverts", "").encode()
    if not re.fullmatch(rb"[0-9a-f]{40}", named):
        found = _BY_GIT.search(message)
        if found is None:
            return None
        named = found[1]
    return ObjectID(named)


def _release(sight: Sight, change: ObjectID, path: str) -> ObjectID:
    """The commit that first said what the file says at `change`, however often it was brought back."""
    while (undone := reverted(sight, change)) is not None:
        parents = sight.parents(undone)
        origin = histories.last_change(sight, parents[0], path) if parents else None
        if origin is None:
            break
        change = origin
    return change
