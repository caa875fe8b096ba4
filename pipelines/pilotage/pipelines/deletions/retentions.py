"""Deletes what is older than `data.retention`: snapshots, logged rows, samples and labels.

A snapshot is as old as its last use. One that trained the champion, the version before it or the
challenger stays, and so does one that another pilot or a run in progress needs; what was kept and why
is said. A snapshot goes while nothing can begin to use it (`tables.IN_USE`). Windows stay: they are
counts. Whether it is time is the scheduler's question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert

from pilotage.components import rewrites
from pilotage.core import errors
from pilotage.core.personal.erasures import Deleted, write_note
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import COMPLETE, Storage
from pilotage.pipelines import tables
from pilotage.pipelines.deletions import holdings
from pilotage.pipelines.deletions.holdings import Use
from pilotage.pipelines.journals import audits, catalogues, states
from pilotage.pipelines.journals.catalogues import Entry

ACTION = "purge"
_WHY = "data.retention"
_ALIASES = (Alias.CHAMPION, Alias.PREVIOUS, Alias.CHALLENGER)


@dataclass(frozen=True)
class Kept:
    """A snapshot that is old enough to go and stays."""

    digest: str
    why: str


@dataclass
class Purged:
    """What was deleted, or would be."""

    pilot: str
    retention_seconds: float
    before: datetime
    """What is older goes."""
    snapshots: list[str] = field(default_factory=list)
    row_files: int = 0
    label_files: int = 0
    kept: list[Kept] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there was nothing to delete."""
        return not (self.snapshots or self.row_files or self.label_files)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "before": self.before.isoformat()}


def purge(
    engine: Engine,
    settings: Settings,
    pilot: str | None = None,
    *,
    who: str,
    why: str = "",
    dry_run: bool = False,
    now: datetime | None = None,
) -> list[Purged]:
    """Delete what one pilot, or every one, keeps no longer.

    Raises:
        NotFound: there is no such pilot.
        SpecError: it says no `data.retention`.
    """
    now = now or datetime.now(UTC)
    with tables.reading(engine) as connection:
        known = [catalogues.get(connection, pilot)] if pilot else catalogues.entries(connection)
        everyone = {entry.name: entry for entry in catalogues.entries(connection)}
    if pilot and known[0].spec.data.retention is None:
        raise errors.SpecError(
            f"Pilot `{pilot}` says no `data.retention`, so it keeps everything.",
            remedy="Write how long it keeps data, such as `retention: 90d` under `data`, and run it.",
        )
    found = []
    for entry in known:
        if entry.spec.data.retention is not None:
            keeps = entry.spec.data.retention
            purged = Purged(entry.name, keeps.total_seconds(), now - keeps)
            found.append(purged)
            try:
                _purge(engine, settings, purged, everyone, now, dry_run)
            finally:  # what is gone is told of, whatever came between
                if not dry_run and not purged.empty:
                    _record(engine, purged, who, why.strip() or _WHY)
    return found


def _purge(
    engine: Engine,
    settings: Settings,
    purged: Purged,
    everyone: dict[str, Entry],
    now: datetime,
    dry_run: bool,
) -> None:
    storage, before, pilot = holdings.store(settings), purged.before, purged.pilot
    reasons = _reasons(engine, settings, pilot, everyone, now)
    users = _users(engine)
    for use in holdings.uses(engine, pilot):
        if use.last_used_at >= before or not storage.published(f"snapshots/{use.digest}"):
            continue
        with _unused(engine, dry_run):
            why = reasons.get(use.digest) or _busy(engine, use, users[use.digest])
            if why is not None:
                purged.kept.append(Kept(use.digest, why))
                continue
            purged.snapshots.append(use.digest)
            if not dry_run:
                _drop(storage, settings, use)
    purged.row_files = _drop_files(storage, list(holdings.row_files(storage, pilot)), before, dry_run)
    labels = [name for name in holdings.label_files(storage, pilot) if storage.modified_at(name) < before]
    purged.label_files = len(labels)
    if not dry_run:
        for name in labels:
            storage.delete(name)


@contextmanager
def _unused(engine: Engine, dry_run: bool) -> Iterator[None]:
    """Let nothing begin that could use a snapshot; a dry run lets everything go on."""
    if dry_run:
        yield
        return
    with engine.begin() as connection:
        tables.lock(connection, tables.IN_USE)
        yield


def _busy(engine: Engine, use: Use, known: dict[str, datetime]) -> str | None:
    """Why a snapshot is needed now, as of this moment."""
    if use.active or known.keys() & holdings.at_work(engine):
        return "a run or a study in progress may use it"
    if _users(engine)[use.digest] != known:
        return "a run used it while this went on"
    return None


def _users(engine: Engine) -> dict[str, dict[str, datetime]]:
    """Pilots whose runs used a snapshot, and when last, by digest."""
    found: dict[str, dict[str, datetime]] = {}
    for use in holdings.uses(engine):
        found.setdefault(use.digest, {})[use.pilot] = use.last_used_at
    return found


def _reasons(
    engine: Engine, settings: Settings, pilot: str, everyone: dict[str, Entry], now: datetime
) -> dict[str, str]:
    """Why snapshots stay, by digest."""
    found: dict[str, str] = {}
    registry = Registry(settings)
    for use in holdings.uses(engine):
        if use.pilot == pilot:
            continue
        entry = everyone.get(use.pilot)
        keeps = None if entry is None else entry.spec.data.retention
        if keeps is None or use.last_used_at >= now - keeps or use.active:
            found[use.digest] = f"pilot `{use.pilot}` keeps it"
    for name in {pilot, *(use.pilot for use in holdings.uses(engine))}:
        for registered, digest in holdings.trained(registry, name).values():
            for alias in _ALIASES:
                if alias in registered.aliases:
                    whose = "" if name == pilot else f" of pilot `{name}`"
                    found[digest] = (
                        f"version {registered.version}{whose}, the {alias.value}, was trained on it"
                    )
    return found


def _drop(storage: Storage, settings: Settings, use: Use) -> None:
    rows = int(json.loads(storage.read(f"snapshots/{use.digest}/{COMPLETE}"))["rows"])
    note = Deleted(digest=use.digest, rows=rows, why="retention", deleted_at=datetime.now(UTC))
    write_note(storage, note)
    rewrites.drop(storage, settings, use.digest)


def _drop_files(storage: Storage, names: Sequence[str], before: datetime, dry_run: bool) -> int:
    """Delete files of windows that began before; returns how many. The folder is named by the moment."""
    mark = before.strftime("%Y%m%dT%H%M%SZ")
    old = [name for name in names if name.rsplit("/", 2)[-2] < mark]
    if not dry_run:
        for name in old:
            storage.delete(name)
    return len(old)


def _record(engine: Engine, purged: Purged, who: str, why: str) -> None:
    document, now = purged.document(), tables.now()
    with engine.begin() as connection:
        connection.execute(
            insert(tables.deletions),
            {
                "id": states.new_id(),
                "pilot": purged.pilot,
                "kind": "retention",
                "state": "done",
                "hashes": [],
                "why": why,
                "who": who,
                "asked_at": now,
                "ended_at": now,
                "result": document,
            },
        )
        told = {key: document[key] for key in ("snapshots", "row_files", "label_files", "before")}
        audits.write(connection, ACTION, purged.pilot, who, why, **told)
