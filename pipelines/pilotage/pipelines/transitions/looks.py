"""What becomes of a committed version, by what the cluster runs and git says now.

    the cluster runs it alone        it is live
    it was aborted, or is degraded   its commit is taken back
    it moves, or is paused           wait; without progress for too long its commit is taken back
    the cluster runs another         wait while git says this one, or a pull request with it is open

A look decides by what is there, so it may be repeated. Only time in which
somebody looked counts against a rollout: neither an API server that was away nor
a console that was is a reason to take anything back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select

from pilotage.core.artifacts import Decision
from pilotage.core.registry import Alias
from pilotage.pipelines import tables
from pilotage.pipelines.clusters.workloads import Phase, Workload
from pilotage.pipelines.machines import leases
from pilotage.pipelines.transitions import requests, rows
from pilotage.pipelines.transitions.stages import GIVEN_UP, Stage, Transition

if TYPE_CHECKING:
    from pilotage.pipelines.transitions.hops import Means

EVERY = timedelta(seconds=5)
"""Between two looks at a cluster."""
GIT_EVERY = timedelta(seconds=30)
"""Between two looks at git, each of which fetches."""
_MOST_SECONDS = 60.0
"""That one look may count as seen without progress."""


class Watcher(Protocol):
    """Where it can be seen what a cluster runs."""

    @property
    def watches(self) -> bool:
        """False where no cluster is to be watched."""
        ...

    def read(self, pilot: str) -> Workload | None:
        """What is run of a pilot; None where nothing is."""
        ...


def look(means: Means, item: Transition) -> None:
    """Look once, and do what follows."""
    if not means.watcher.watches:
        _wait_for_word(means, item)
        return
    found = means.watcher.read(item.pilot)
    if found is None or found.version != item.version:
        _wait_for_cluster(means, item, found)
    elif found.phase is Phase.HEALTHY:
        _go_live(means, item, found)
    elif found.phase is Phase.FAILED:
        _give_up(means, item, f"the cluster gave it up: {found.told}")
    else:
        _follow(means, item, found)


def _follow(means: Means, item: Transition, found: Workload) -> None:
    """It is on its way: note how far, and lose patience where nothing moves."""
    progress, now = list(found.progress), tables.now()
    waited = 0.0 if item.looked_at is None else (now - item.looked_at).total_seconds()
    still = progress == item.progress and found.phase is not Phase.PAUSED and item.trouble is None
    stalled = item.stalled_seconds + min(max(waited, 0.0), _MOST_SECONDS) if still else 0.0
    patience = means.settings.release_patience_seconds
    if stalled > patience:
        _give_up(means, item, f"nothing moved for {patience / 60:.0f} minutes: {found.told}")
        return
    seen: dict[str, Any] = {"progress": progress, "looked_at": now, "stalled_seconds": stalled}
    _stay(means, item, found.told, now + EVERY, **seen, taken_up_at=item.taken_up_at or now)


def _wait_for_cluster(means: Means, item: Transition, found: Workload | None) -> None:
    """The cluster is to run something else: as long as git says this version, that is a matter of time."""
    runs = "nothing of it" if found is None else f"version {found.version}"
    now, seen_at = tables.now(), item.seen_at
    asked = means.git_looks.get(item.id)
    if asked is None or not timedelta(0) <= now - asked < GIT_EVERY:
        said = means.git.read(item.pilot)
        means.git_looks[item.id] = now
        if said == item.version:
            seen_at = seen_at or now
        elif seen_at is not None:
            _overruled(means, item, said)
            return
    if seen_at is None:
        place = item.url or f"branch `{item.branch}`"
        standing = f"waits for the merge of {place}; the cluster runs {runs}"
    else:
        standing = (
            f"git says so since {seen_at:%Y-%m-%d %H:%M} UTC; the cluster runs {runs}, and waits to be synced"
        )
    _stay(means, item, standing, now + EVERY, seen_at=seen_at, looked_at=now, progress=None)


def _overruled(means: Means, item: Transition, said: int | None) -> None:
    """Git says another version than the one that was committed last."""
    table = tables.transitions
    stale = select(table.c.id).where(
        table.c.pilot == item.pilot,
        table.c.environment == item.environment,
        table.c.version == said,
        table.c.stage.in_(GIVEN_UP),
    )
    champion = means.registry.aliases(item.pilot).get(Alias.CHAMPION)
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        late = said != champion and connection.execute(stale.limit(1)).first() is not None
        if late:  # a leader of before woke up, and pushed what had given way meanwhile
            rows.change(connection, item, Stage.ASKED, standing="waits for its commit, once more")
            return
        says = "does not name it any more" if said is None else f"says version {said}"
        reason = f"somebody changed git, which {says}"
        rows.change(connection, item, Stage.YIELDING, reason=reason)


def _wait_for_word(means: Means, item: Transition) -> None:
    standing = (
        f"commit {(item.commit or '')[:12]} is made; no cluster is watched, so"
        f" `pilotage promote {item.pilot} {item.version}` is to confirm that it is live"
    )
    _stay(means, item, standing, tables.now() + GIT_EVERY)


def _go_live(means: Means, item: Transition, found: Workload) -> None:
    champion = means.registry.aliases(item.pilot).get(Alias.CHAMPION)
    replaced = champion if champion != item.version else None
    reason = f"{found.kind} `{found.name}` runs it alone, with {found.ready} pods"
    now = tables.now()
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        live = {"reason": reason, "replaced": replaced, "standing": "it is live; becomes champion"}
        rows.change(connection, item, Stage.LIVE, **live, taken_up_at=item.taken_up_at or now)


def _give_up(means: Means, item: Transition, reason: str) -> None:
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        if rows.change(connection, item, Stage.REVERTING):
            requests.take_back(connection, item.id, reason, outcome=Decision.REJECTED.value, who=None)


def _stay(means: Means, item: Transition, standing: str, next_at: datetime, **values: Any) -> None:
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        rows.change(connection, item, Stage.COMMITTED, standing=standing, next_at=next_at, **values)
