"""Versions of a pilot: what they scored and what was decided of them.

Deciding it is in `decisions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, select

from pilotage.console.access.actors import Actor
from pilotage.console.operations import pilots, positions, specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model, cursor_of
from pilotage.core.artifacts import Estimate, Scorecard, Verdict, Worth
from pilotage.core.registry import Alias, Registered
from pilotage.core.registry.clients import RUN_TAG
from pilotage.pipelines import tables
from pilotage.pipelines.decisions.approvals import ApprovalState

_DECISION, _REASON = "pilotage.decision", "pilotage.reason"


class Approval(Model):
    """A version that waits for a person, or waited."""

    pilot: str
    version: int
    state: ApprovalState
    run: str | None
    asked_at: datetime
    decided_at: datetime | None
    who: str | None
    why: str | None


class Version(Model):
    """A version of a pilot."""

    pilot: str
    version: int
    aliases: tuple[str, ...]
    """Of `challenger`, `champion`, `previous`."""
    created_at: datetime
    run: str | None
    """The run that made it; null where something else registered it."""
    mlflow_run: str
    metric: str | None = None
    """The goal's when it was evaluated; null without a scorecard."""
    estimate: Estimate | None = None
    """Of that metric on the held-out rows, with its 95 % interval."""
    target: float | None = None
    gates: tuple[Verdict, ...] = ()
    passed: bool | None = None
    worth: Worth | None = None
    decision: str | None = None
    """`promoted`, `rolling_out`, `releasing`, `pending`, `refused`, `rejected`, `superseded`; null before
    anything was decided."""
    reason: str = ""
    approval: Approval | None = None
    tags: dict[str, str]
    """Where it comes from: digests of data, suite and code, the revision, form and skew."""


class Live(Model):
    """What serves a pilot, and what is to come."""

    pilot: str
    champion: Version | None
    challenger: Version | None
    waiting: tuple[Approval, ...]
    """Versions that wait for a person, newest first."""


def list_versions(
    desk: Desk, actor: Actor, pilot: str, *, cursor: str | None = None, limit: int = 50
) -> Listing[Version]:
    """Versions of a pilot, newest first.

    Raises:
        NotFound: no such pilot is here, or not for this actor.
    """
    specs.require_known(desk, actor, pilot)
    found = desk.registry.versions(pilot)
    if cursor is not None:
        (last,) = positions.read(cursor, (positions.number,))
        found = [item for item in found if item.version < last]
    shown = _told(desk, found[:limit], tables.approvals.c.pilot == pilot)
    following = cursor_of(shown[-1].version) if len(found) > limit else None
    return Listing(items=tuple(shown), next=following)


def get_version(desk: Desk, actor: Actor, pilot: str, version: int) -> Version:
    """One version.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    registered = _registered(desk, actor, pilot, version)
    return _told(desk, [registered], tables.approvals.c.pilot == pilot)[0]


def get_scorecard(desk: Desk, actor: Actor, pilot: str, version: int) -> Scorecard:
    """What evaluation found of a version.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    return desk.scorecards.get(_registered(desk, actor, pilot, version))


def read_card(desk: Desk, actor: Actor, pilot: str, version: int) -> str:
    """The model card that a version's run wrote, a page of its own; `dossiers` makes it as it is known now.

    Raises:
        NotFound: it is not there, or not for this actor.
    """
    registered = _registered(desk, actor, pilot, version)
    return desk.registry.run_file(registered.run, Scorecard.CARD_FILE).read_text(encoding="utf-8")


def list_live(
    desk: Desk, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 50
) -> Listing[Live]:
    """What serves each pilot, by name."""
    listing = pilots.list_pilots(desk, actor, search=search, cursor=cursor, limit=limit)
    names = [pilot.name for pilot in listing.items]
    pending = tables.approvals.c.state == ApprovalState.PENDING
    asked = tables.approvals.c.pilot.in_(names)
    told = _told(desk, desk.registry.aliased(names), asked)
    waiting = approvals(desk, asked, pending)
    by_role = {(item.pilot, alias): item for item in told for alias in item.aliases}
    items = [
        Live(
            pilot=name,
            champion=by_role.get((name, Alias.CHAMPION)),
            challenger=by_role.get((name, Alias.CHALLENGER)),
            waiting=tuple(item for item in waiting if item.pilot == name),
        )
        for name in names
    ]
    return Listing(items=tuple(items), next=listing.next)


def approvals(desk: Desk, *conditions: ColumnElement[bool]) -> list[Approval]:
    """Questions to people for which all `conditions` hold, newest version first."""
    table = tables.approvals
    query = select(table).where(*conditions).order_by(table.c.pilot, table.c.version.desc())
    with tables.reading(desk.engine) as connection:
        return [approval(row) for row in connection.execute(query)]


def approval(row: Row[Any]) -> Approval:
    """A row of the table as what the API sends."""
    return Approval(**row._mapping)


def _registered(desk: Desk, actor: Actor, pilot: str, version: int) -> Registered:
    specs.require_known(desk, actor, pilot)
    return desk.registry.version(pilot, version)


def _told(desk: Desk, found: Sequence[Registered], asked: ColumnElement[bool]) -> list[Version]:
    """Registered versions with their scorecards and what people said; one query for all."""
    if not found:
        return []
    said = {(item.pilot, item.version): item for item in approvals(desk, asked)}
    return [_version(desk, registered, said) for registered in found]


def _version(desk: Desk, registered: Registered, said: Mapping[tuple[str, int], Approval]) -> Version:
    tags, card = registered.tags, desk.scorecards.find(registered)
    scored: dict[str, Any] = {}
    if card is not None:
        scored = {
            "metric": card.metric,
            "estimate": card.metrics.get(card.metric),
            "target": card.target,
            "gates": card.gates,
            "passed": card.passed,
            "worth": card.worth,
        }
    return Version(
        pilot=registered.name,
        version=registered.version,
        aliases=registered.aliases,
        created_at=registered.created_at,
        run=tags.get(RUN_TAG),
        mlflow_run=registered.run,
        decision=tags.get(_DECISION),
        reason=tags.get(_REASON, ""),
        approval=said.get((registered.name, registered.version)),
        tags={key: value for key, value in tags.items() if key not in (_DECISION, _REASON)},
        **scored,
    )
