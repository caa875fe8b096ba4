"""What a pilot holds of people: personal data met, how long it is kept, what was erased, synthetic rows.

Told from what ingest, training and deletions wrote down; no row is read, and no value is told.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.operations import specs
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.listings import Listing, Model
from pilotage.core import durations, errors
from pilotage.core.artifacts import Snapshot, Synthesis, Synthetic
from pilotage.core.registry import Alias
from pilotage.core.registry.versions import local_path
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.deletions import erasures, previews, retentions

MOST = 200


class PersonalColumn(Model):
    """Personal data of one kind in one column of the latest snapshot."""

    column: str
    kind: str
    share: float | None
    """Of the values looked at; null where only the column's name says so."""
    looked: int
    found_by: str
    policy: str | None
    """What is done about it; null where pilot.yaml says nothing, and it is stored as it is."""
    reason: str


class Deletion(Model):
    """Something that was deleted for good."""

    id: str
    pilot: str
    kind: str
    """`erasure` of keys, or `retention`."""
    state: str
    keys: int
    """How many spellings of keys are forgotten; the keys themselves are known to nobody."""
    why: str
    who: str
    asked_at: datetime
    ended_at: datetime | None
    result: dict[str, Any] | None


class Marked(Model):
    """A version that was trained on rows that were deleted since."""

    version: int
    mark: str


class SyntheticRows(Model):
    """Synthetic rows that a version was trained on."""

    version: int
    synthetic: Synthetic


class Privacy(Model):
    """All of it for one pilot."""

    pilot: str
    personal: tuple[PersonalColumn, ...]
    undeclared: int
    """Columns and kinds without a rule."""
    forgotten_rows: int
    """Rows that the last ingest left out because their keys are forgotten."""
    retention: str | None
    """As pilot.yaml writes it; null where everything is kept."""
    marked: tuple[Marked, ...]
    deletions: tuple[Deletion, ...]
    """Latest first."""
    synthetic: SyntheticRows | None
    """Of the champion, else of the newest version, if it saw any."""
    syntheses: tuple[Synthesis, ...]
    """Files of synthetic rows that were made, latest first."""


def get_privacy(desk: Desk, actor: Actor, pilot: str) -> Privacy:
    """What a pilot holds of people.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    spec = specs.find(desk, actor, pilot)
    found, forgotten = _personal(desk, pilot)
    retention = spec.data.retention
    return Privacy(
        pilot=pilot,
        personal=tuple(found),
        undeclared=sum(item.policy is None for item in found),
        forgotten_rows=forgotten,
        retention=None if retention is None else durations.write(retention),
        marked=tuple(
            Marked(version=item.version, mark=item.tags[erasures.TAG])
            for item in desk.registry.versions(pilot)
            if erasures.TAG in item.tags
        ),
        deletions=list_deletions(desk, actor, pilot).items,
        synthetic=_synthetic(desk, pilot),
        syntheses=tuple(_syntheses(desk, pilot)),
    )


def list_deletions(desk: Desk, actor: Actor, pilot: str) -> Listing[Deletion]:
    """What was deleted of a pilot, latest first.

    Raises:
        NotFound: the pilot is not there, or not for this actor.
    """
    specs.require_known(desk, actor, pilot)
    table = tables.deletions
    query = select(table).where(table.c.pilot == pilot).order_by(table.c.asked_at.desc()).limit(MOST)
    with tables.reading(desk.engine) as connection:
        rows = connection.execute(query).all()
    return Listing(
        items=tuple(
            Deletion(
                id=row.id,
                pilot=row.pilot,
                kind=row.kind,
                state=row.state,
                keys=len(row.hashes),
                why=row.why,
                who=row.who,
                asked_at=row.asked_at,
                ended_at=row.ended_at,
                result=row.result,
            )
            for row in rows
        ),
        next=None,
    )


def forget(desk: Desk, actor: Actor, pilot: str, keys: list[str], why: str) -> dict[str, Any]:
    """Erase the rows with these keys from everything that is held.

    Raises:
        Forbidden: for admins.
        NotFound: the pilot is not there, or not for this actor.
        RequestError: there is no key or no reason.
        SpecError: the pilot has no key.
        RunActive: a run is in progress.
    """
    actor.require(Permission.ADMINISTER, pilot)
    specs.require_known(desk, actor, pilot)
    done = erasures.forget(desk.engine, desk.settings, pilot, keys, who=actor.name, why=why)
    return done.document()


def preview_forget(desk: Desk, actor: Actor, pilot: str, keys: list[str]) -> dict[str, Any]:
    """What `forget` would take out now; nothing is changed or noted.

    Raises:
        Forbidden, NotFound, RequestError, SpecError: as of `forget`.
    """
    actor.require(Permission.ADMINISTER, pilot)
    specs.require_known(desk, actor, pilot)
    return previews.preview(desk.engine, desk.settings, pilot, keys).document()


def purge(desk: Desk, actor: Actor, pilot: str, *, dry_run: bool, why: str = "") -> dict[str, Any]:
    """Delete what is older than the pilot keeps it, or tell what that would be.

    Raises:
        Forbidden: for admins.
        NotFound: the pilot is not there, or not for this actor.
        SpecError: it keeps everything.
    """
    actor.require(Permission.ADMINISTER, pilot)
    specs.require_known(desk, actor, pilot)
    (found,) = retentions.purge(desk.engine, desk.settings, pilot, who=actor.name, why=why, dry_run=dry_run)
    return {**found.document(), "dry_run": dry_run}


def _personal(desk: Desk, pilot: str) -> tuple[list[PersonalColumn], int]:
    """Of the last snapshot that a run of the pilot wrote down."""
    runs, steps = tables.runs, tables.steps
    uri = steps.c.outputs["snapshot"]["uri"].as_string()
    query = (
        select(uri)
        .join(runs, runs.c.id == steps.c.run)
        .where(steps.c.name == "ingest", runs.c.pilot == pilot, uri.is_not(None))
        .order_by(runs.c.asked_at.desc(), runs.c.id.desc())
        .limit(1)
    )
    with tables.reading(desk.engine) as connection:
        place = connection.scalar(query)
    if place is None:
        return [], 0
    snapshot = _snapshot(desk, pilot, place)
    if snapshot is None:
        return [], 0
    shown = [
        PersonalColumn(
            column=item.column,
            kind=item.kind.value,
            share=item.share,
            looked=item.looked,
            found_by=item.found_by,
            policy=None if item.policy is None else item.policy.value,
            reason=item.reason,
        )
        for item in snapshot.personal
    ]
    return shown, snapshot.forgotten


def _snapshot(desk: Desk, pilot: str, uri: str) -> Snapshot | None:
    """The manifest at `uri`; the champion's where this machine does not have that."""
    path = local_path(uri)
    try:
        if path is not None and path.exists():
            return Snapshot.read(path)
        champion = desk.registry.champion(pilot)
        return (
            None if champion is None else Snapshot.read(desk.registry.run_file(champion.run, Snapshot.FILE))
        )
    except errors.PilotageError:
        return None


def _synthetic(desk: Desk, pilot: str) -> SyntheticRows | None:
    versions = desk.registry.versions(pilot)
    for item in sorted(versions, key=lambda each: (Alias.CHAMPION not in each.aliases, -each.version))[:1]:
        try:
            model = desk.registry.model(item)
        except errors.PilotageError:
            return None
        if model.synthetic is not None:
            return SyntheticRows(version=item.version, synthetic=model.synthetic)
    return None


def _syntheses(desk: Desk, pilot: str) -> list[Synthesis]:
    store = Storage(desk.settings.storage)
    found = []
    for name in reversed(store.names(f"synthesis/{pilot}")[-20:]):
        try:
            found.append(Synthesis.model_validate_json(store.read(name)))
        except (ValidationError, errors.NotFound):
            continue
    return found
