"""What an installation holds of a pilot's rows, and what keeps each of it alive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from pilotage.core import errors
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.studies import batches
from pilotage.serving.versions.shadows import FOLDER as SHADOWS

_STEP = "ingest"
_ROWS, _SAMPLES = "rows-", "sample-"
_OVER = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DIED)


@dataclass(frozen=True)
class Use:
    """A snapshot that runs of a pilot used."""

    digest: str
    pilot: str
    keys: frozenset[str]
    """Columns that were the key when it was used."""
    last_used_at: datetime
    active: bool
    """Whether a run that is not over uses it."""


def uses(engine: Engine, pilot: str | None = None) -> list[Use]:
    """Snapshots of one pilot, or of all, by pilot and digest."""
    runs, steps = tables.runs, tables.steps
    digest = steps.c.outputs["snapshot"]["digest"].as_string()
    query = (
        select(digest.label("digest"), runs.c.pilot, runs.c.spec, runs.c.asked_at, runs.c.state)
        .join(runs, runs.c.id == steps.c.run)
        .where(steps.c.name == _STEP, digest.is_not(None))
    )
    if pilot is not None:
        query = query.where(runs.c.pilot == pilot)
    found: dict[tuple[str, str], Use] = {}
    with tables.reading(engine) as connection:
        for row in connection.execute(query):
            name = (row.spec.get("data") or {}).get("key")
            held = found.get((row.pilot, row.digest))
            keys = frozenset({name} if name else ()) | (held.keys if held else frozenset())
            last = max(row.asked_at, held.last_used_at) if held else row.asked_at
            active = row.state not in _OVER or bool(held and held.active)
            found[row.pilot, row.digest] = Use(row.digest, row.pilot, keys, last, active)
    return [found[place] for place in sorted(found)]


def at_work(engine: Engine) -> frozenset[str]:
    """Pilots of which a run or a study goes on: it may use snapshots or write rows untold."""
    found: set[str] = set()
    with tables.reading(engine) as connection:
        for table in (tables.runs, tables.studies):
            query = select(table.c.pilot).where(table.c.state == State.RUNNING).distinct()
            found.update(connection.scalars(query))
    return frozenset(found)


def trained(registry: Registry, pilot: str) -> Mapping[int, tuple[Registered, str]]:
    """Versions by number, each with the digest of its snapshot; those without files are left out."""
    found = {}
    for registered in registry.versions(pilot):
        digest = registered.tags.get("pilotage.snapshot")
        if digest is None:
            try:
                digest = registry.model(registered).snapshot
            except errors.PilotageError:
                continue
        found[registered.version] = (registered, digest)
    return found


def row_files(storage: Storage, pilot: str) -> Iterable[str]:
    """Names of the files with served rows, of versions and of their shadows: row logs and samples."""
    for folder in (f"windows/{pilot}", f"{SHADOWS}/windows/{pilot}"):
        for name in storage.names(folder):
            last = name.rsplit("/", 1)[-1]
            if last.startswith((_ROWS, _SAMPLES)) and last.endswith(".parquet"):
                yield name


def label_files(storage: Storage, pilot: str) -> Iterable[str]:
    """Names of the files with labels that came late."""
    return (name for name in storage.names(f"windows/{pilot}/labels") if name.endswith(".parquet"))


def score_files(storage: Storage, pilot: str) -> Iterable[str]:
    """Names of the files with scores that studies keep."""
    return (name for name in storage.names(f"studies/{pilot}") if name.endswith(f"/{batches.FILE}"))


def store(settings: Settings) -> Storage:
    """Where snapshots and windows are."""
    return Storage(settings.storage)
