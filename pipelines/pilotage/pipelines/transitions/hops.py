"""The arrows between the stages: each acts outside where it must, then changes its row, once.

An act outside may have been carried out before by a process that died: a tag is
set again, a commit is found made, an alias is where it should be. The row is
changed only while the process leads and the row is still in the stage that the
hop began from; otherwise whoever changed it has the word.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from pilotage.core.artifacts import Decision
from pilotage.core.registry import Alias, Registry
from pilotage.core.registry.versions import DECISION_TAG, REASON_TAG
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.decisions import approvals, promotions
from pilotage.pipelines.journals import audits
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.transitions import looks, requests
from pilotage.pipelines.transitions.gits import Git
from pilotage.pipelines.transitions.looks import Watcher
from pilotage.pipelines.transitions.rows import change
from pilotage.pipelines.transitions.stages import GIVEN_UP, UNDER_WAY, Stage, Transition

logger = logging.getLogger(__name__)


@dataclass
class Means:
    """What the hops work with."""

    settings: Settings
    engine: Engine
    registry: Registry
    git: Git
    watcher: Watcher
    lease: Lease | None
    git_looks: dict[str, datetime] = field(default_factory=dict)
    """When git was last asked for a transition: each time fetches."""


def advance(means: Means, item: Transition) -> None:
    """Make the next hop of a transition, if it can be made now.

    Raises:
        PilotageError: it cannot; the next attempt may.
        LeaseLost: another process leads.
    """
    {
        Stage.ASKED: _commit,
        Stage.COMMITTED: looks.look,
        Stage.LIVE: _complete,
        Stage.REVERTING: _revert,
        Stage.YIELDING: _yield,
    }[item.stage](means, item)


def _commit(means: Means, item: Transition) -> None:
    """Say on the version that it is on its way, and let git say that it is to run."""
    _tag(means, item, Decision.RELEASING, item.why or f"asked for by {item.who}")
    forced = item.forced or item.action == requests.ROLLBACK  # it was champion once
    made = means.git.release(item.pilot, item.version, by=item.who, reason=item.why, force=forced)
    logger.info("%s version %d: commit %s", item.pilot, item.version, made.commit)
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        now = tables.now()
        values: dict[str, Any] = {
            "commit": made.commit,
            "branch": made.branch,
            "url": made.url,
            "committed_at": now,
        }
        values["seen_at"] = None if made.proposed else now
        standing = f"commit {made.commit[:12]} is made; waits for the cluster"
        change(connection, item, Stage.COMMITTED, standing=standing, **values)


def _complete(means: Means, item: Transition) -> None:
    """Move the alias: the cluster runs the version, so it is the champion."""
    means.registry.client  # noqa: B018 - MLflow's import and start must not happen inside the transaction
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        if not change(connection, item, Stage.DONE, ended_at=tables.now(), standing=""):
            return
        reason = item.reason
        why = "; ".join(filter(None, (item.why, f"live in {item.environment}: {reason}")))
        audits.write(
            connection,
            item.action,
            item.pilot,
            item.who,
            why,
            version=item.version,
            replaced=item.replaced,
            environment=item.environment,
            commit=item.commit,
        )
        if item.action == requests.ROLLBACK:
            means.registry.restore(item.pilot, item.version)
        else:
            means.registry.promote(item.pilot, item.version)
        _tag(means, item, Decision.PROMOTED, f"live in {item.environment}: {reason}")
    logger.info("%s version %d is champion: %s", item.pilot, item.version, reason)


def _revert(means: Means, item: Transition) -> None:
    """Let git say what ran before, and say on the version why."""
    if not _has_successor(means.engine, item):
        _restore_git(means, item)
    outcome = Decision(item.outcome or Decision.REJECTED)
    champion = means.registry.aliases(item.pilot).get(Alias.CHAMPION)
    told = f"its release to {item.environment} was taken back: {item.reason}"
    if champion != item.version:
        means.registry.withdraw(item.pilot, item.version)
        _tag(means, item, outcome, told)
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        if not change(connection, item, Stage.REVERTED, ended_at=tables.now(), standing=""):
            return
        who = item.ended_by or promotions.PLATFORM
        action = "reject" if outcome is Decision.REJECTED else "halt"
        details = {"environment": item.environment, "commit": item.commit, "champion": champion}
        audits.write(connection, action, item.pilot, who, told, version=item.version, **details)
        if outcome is Decision.REJECTED:
            approvals.keep_out(connection, item.pilot, item.version, who=who, why=told)
    logger.warning("%s version %d is taken back: %s", item.pilot, item.version, item.reason)


def _restore_git(means: Means, item: Transition) -> None:
    """Let git say what serves, if it says what was given up; a commit that somebody made since stays."""
    said = means.git.read(item.pilot)
    champion = means.registry.aliases(item.pilot).get(Alias.CHAMPION)
    if said in (None, champion) or said not in _given_up(means.engine, item):
        return
    by, reason = item.ended_by or promotions.PLATFORM, f"version {item.version}: {item.reason}"
    means.git.revert(item.pilot, said or 0, by=by, reason=reason)
    if champion is not None and means.git.read(item.pilot) != champion:
        # what it said before was on its way itself, and gave way: only the champion is known to work
        means.git.release(item.pilot, champion, by=by, reason=reason, force=True)


def _yield(means: Means, item: Transition) -> None:
    """Say on the version that another took its place."""
    if not _is_asked_again(means.engine, item):
        champion = means.registry.aliases(item.pilot).get(Alias.CHAMPION)
        if champion != item.version:
            _tag(means, item, Decision.SUPERSEDED, item.reason)
    with means.engine.begin() as connection:
        leases.require(connection, means.lease)
        if change(connection, item, Stage.SUPERSEDED, ended_at=tables.now(), standing=""):
            details = {"environment": item.environment, "commit": item.commit}
            audits.write(
                connection,
                "supersede",
                item.pilot,
                promotions.PLATFORM,
                item.reason,
                version=item.version,
                **details,
            )


def _tag(means: Means, item: Transition, decision: Decision, reason: str) -> None:
    tags = {DECISION_TAG: decision.value, REASON_TAG: reason}
    means.registry.tag(item.pilot, item.version, tags)


def _has_successor(engine: Engine, item: Transition) -> bool:
    """Whether what was asked for later is on its way or live: git is its business then."""
    return _later(engine, item, (*UNDER_WAY, Stage.DONE))


def _given_up(engine: Engine, item: Transition) -> set[int]:
    """Versions that nobody wants live by their last word."""
    table = tables.transitions
    query = select(table.c.version).where(
        table.c.pilot == item.pilot,
        table.c.environment == item.environment,
        table.c.stage.in_(GIVEN_UP),
    )
    with tables.reading(engine) as connection:
        return set(connection.scalars(query))


def _is_asked_again(engine: Engine, item: Transition) -> bool:
    """Whether the same version was asked for later: what it is marked as is that one's business."""
    return _later(engine, item, tuple(Stage), item.version)


def _later(engine: Engine, item: Transition, stages: tuple[Stage, ...], version: int | None = None) -> bool:
    table = tables.transitions
    query = select(table.c.id).where(
        table.c.pilot == item.pilot,
        table.c.environment == item.environment,
        table.c.asked_at >= item.asked_at,
        table.c.id != item.id,
        table.c.stage.in_(stages),
    )
    if version is not None:
        query = query.where(table.c.version == version)
    with tables.reading(engine) as connection:
        return connection.execute(query.limit(1)).first() is not None
