"""Forgets keys: removes their rows from snapshots, logs, samples and labels, and marks models of them.

The keys are hashed first and noted as to be forgotten, so that a source that still has them does not
bring them back; all that follows goes by the hashes. Each part replaces one thing by another as a
whole, and a repeat finds nothing left to do: after a crash the same erasure is simply done again, by
whoever asks or by the scheduler. Windows hold counts and no ids. Models are not trained anew here.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, update

from pilotage.components import rewrites
from pilotage.core import errors, samples, signatures
from pilotage.core.personal import erasures as notes
from pilotage.core.personal import keys
from pilotage.core.personal.erasures import Forgotten
from pilotage.core.personal.replacements import Replacer
from pilotage.core.registry import Registered, Registry
from pilotage.core.registry.clients import INSIDE
from pilotage.core.registry.versions import local_path
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines import tables
from pilotage.pipelines.deletions import holdings, traffic
from pilotage.pipelines.journals import audits, catalogues, states
from pilotage.pipelines.machines import locks
from pilotage.pipelines.studies import uploads

logger = logging.getLogger(__name__)

ACTION = "forget"
TAG = "pilotage.erased"
"""Of a version: when rows that it was trained on were erased."""
MARK = "trained on rows that were deleted since"
AGAIN = (
    "a run or a study in progress may still write rows of them: "
    "the scheduler does this again until it is over, and so does the same command"
)
MOST_KEYS = 10_000
_KIND = "erasure"
_WAIT_SECONDS = 30.0
_VECTORS = "cache/embeddings"
"""Where trainings of this machine keep vectors, below its home."""


@dataclass(frozen=True)
class Replaced:
    """A snapshot that is another now."""

    digest: str
    replaced_by: str | None
    rows: int
    """That were removed."""


@dataclass
class Erased:
    """What was erased for some keys."""

    id: str
    pilot: str
    keys: tuple[str, ...]
    """Keyed hashes."""
    snapshots: list[Replaced] = field(default_factory=list)
    logged_rows: int = 0
    labels: int = 0
    reference_rows: int = 0
    score_rows: int = 0
    """Of scores that studies keep."""
    versions: list[int] = field(default_factory=list)
    """Trained on rows that were deleted."""
    notes: list[str] = field(default_factory=list)
    nowhere: list[int] | None = None
    """Positions, from 1, of the keys that no row was found of; None where only their hashes are left."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "keys": list(self.keys), "mark": MARK}


def forget(
    engine: Engine, settings: Settings, pilot: str, wanted: Sequence[str], *, who: str, why: str
) -> Erased:
    """Forget the rows with these keys, as callers know them; a repeat finishes or changes nothing.

    Raises:
        NotFound: there is no such pilot.
        SpecError: it has no `data.key`, so no row can be told by one.
        RequestError: there is no key, an empty one, or too many; or no reason.
        RunActive: a run of the pilot is in progress and does not end soon.
    """
    if not why.strip():
        raise errors.RequestError(
            "No reason is given.", remedy="Say why: it is all that tells later what was asked for."
        )
    spec, digests = hashes(engine, settings, pilot, wanted)
    asked = _begin(engine, pilot, digests, who, why)
    return _carry_out(engine, settings, spec, asked, wanted)


def hashes(
    engine: Engine, settings: Settings, pilot: str, wanted: Sequence[str]
) -> tuple[PilotSpec, list[str]]:
    """The pilot, and the keyed hashes of these keys in every spelling in which they may be stored.

    Raises:
        NotFound, SpecError, RequestError: as of `forget`.
    """
    _check(wanted)
    with tables.reading(engine) as connection:
        spec = catalogues.get(connection, pilot).spec
    if spec.data.key is None:
        raise errors.SpecError(
            f"Pilot `{pilot}` has no `data.key`, so rows cannot be told apart by one.",
            remedy="Name the column that identifies a row as `data.key`, and run the pilot.",
        )
    return spec, sorted({_digest(settings, pilot, text) for text in _spellings(spec, settings, wanted)})


def nowhere(settings: Settings, spec: PilotSpec, wanted: Sequence[str], met: Container[str]) -> list[int]:
    """Positions, from 1, of the keys of which no spelling was met: perhaps somebody mistyped them."""
    return [
        position
        for position, text in enumerate(wanted, 1)
        if not any(
            _digest(settings, spec.pilot, found) in met for found in _spellings(spec, settings, [text])
        )
    ]


def resume(engine: Engine, settings: Settings) -> list[Erased]:
    """Finish the erasures that a process that died left in the middle."""
    table = tables.deletions
    query = select(table).where(table.c.kind == _KIND, table.c.state == "running").order_by(table.c.asked_at)
    with tables.reading(engine) as connection:
        rows = connection.execute(query).all()
    found = []
    for row in rows:
        try:
            with tables.reading(engine) as connection:
                spec = catalogues.get(connection, row.pilot).spec
            found.append(_carry_out(engine, settings, spec, row.id))
        except errors.RunActive as error:
            logger.info("the erasure %s waits: %s", row.id, error)
        except (errors.PilotageError, OSError) as error:  # the others are not to wait for it
            logger.warning("the erasure %s of %s is not finished: %s", row.id, row.pilot, error)
    return found


def _check(wanted: Sequence[str]) -> None:
    if not wanted or any(not text for text in wanted):
        raise errors.RequestError("There is no key, or an empty one.", remedy="Name the keys that are to go.")
    if len(wanted) > MOST_KEYS:
        raise errors.RequestError(
            f"There are {len(wanted):,} keys, at most {MOST_KEYS:,} can be forgotten at once.",
            remedy="Send them in parts.",
        )


def _spellings(spec: PilotSpec, settings: Settings, wanted: Sequence[str]) -> Iterable[str]:
    """Each key as it may be stored: as it is, and as it was hashed or masked on its way in."""
    replacer = Replacer.of(spec.data.personal, settings)
    secret = settings.personal_key.get_secret_value()
    for text in wanted:
        yield text
        if secret:
            yield keys.digest(secret.encode(), text)
        if replacer is not None:
            stored = replacer.text(spec.data.key or "", text)
            if stored and stored != text and "***" not in stored and "<" not in stored:
                yield stored


def _digest(settings: Settings, pilot: str, text: str) -> str:
    return notes.key_digest(settings, pilot, text)


def _begin(engine: Engine, pilot: str, digests: list[str], who: str, why: str) -> str:
    """The erasure's row: the one that is there for the same keys and not done, or a new one."""
    table = tables.deletions
    with engine.begin() as connection:
        tables.lock(connection, f"erasures of {pilot}")
        open_ones = connection.execute(
            select(table.c.id, table.c.hashes).where(
                table.c.pilot == pilot, table.c.kind == _KIND, table.c.state == "running"
            )
        )
        for row in open_ones:
            if row.hashes == digests:
                return str(row.id)
        identity = states.new_id()
        connection.execute(
            insert(table),
            {
                "id": identity,
                "pilot": pilot,
                "kind": _KIND,
                "state": "running",
                "hashes": digests,
                "why": why,
                "who": who,
                "asked_at": tables.now(),
            },
        )
    return identity


def _carry_out(
    engine: Engine, settings: Settings, spec: PilotSpec, identity: str, wanted: Sequence[str] = ()
) -> Erased:
    table = tables.deletions
    with tables.reading(engine) as connection:
        row = connection.execute(select(table).where(table.c.id == identity)).one()
    forgotten = _noted(engine, settings, row.pilot, row.hashes)
    erased = Erased(identity, row.pilot, tuple(row.hashes))
    with locks.held(settings, row.pilot, _WAIT_SECONDS) as taken:
        if not taken:
            raise errors.RunActive(
                f"Pilot `{row.pilot}` has a run in progress, which may write what is to be forgotten.",
                remedy="Do this again when it is over; the keys are noted, and the scheduler does it too.",
            )
        busy = row.pilot in holdings.at_work(engine)  # on another machine: this one's runs hold the lock
        _erase(engine, settings, spec, forgotten, erased)
    if wanted:
        erased.nowhere = nowhere(settings, spec, wanted, forgotten.met)
    if busy:
        erased.notes.append(AGAIN)
        return erased
    with engine.begin() as connection:
        done = {"state": "done", "ended_at": tables.now(), "result": erased.document()}
        changed = connection.execute(
            update(table).where(table.c.id == identity, table.c.state == "running").values(done)
        )
        if changed.rowcount:
            told: dict[str, Any] = {
                "erasure": identity,
                "keys": list(erased.keys),
                "snapshots": [asdict(item) for item in erased.snapshots],
                "versions": erased.versions,
            }
            audits.write(connection, ACTION, row.pilot, row.who, row.why, **told)
    return erased


def _noted(engine: Engine, settings: Settings, pilot: str, digests: Iterable[str]) -> Forgotten:
    """All that is to be forgotten of a pilot, with `digests`; others that note keys meanwhile wait."""
    with engine.begin() as connection:
        tables.lock(connection, f"forgotten of {pilot}")
        forgotten = Forgotten(settings, pilot)
        forgotten.add(digests)
    return forgotten


def _erase(engine: Engine, settings: Settings, spec: PilotSpec, forgotten: Forgotten, erased: Erased) -> None:
    pilot, storage, registry = spec.pilot, holdings.store(settings), Registry(settings)
    gone: set[str] = set()
    for use in holdings.uses(engine, pilot):
        for key in sorted(use.keys):
            found = rewrites.without(settings, use.digest, key, forgotten.holds)
            if found is not None:
                erased.snapshots.append(Replaced(use.digest, found.replaced_by, found.removed))
        note = notes.note_of(storage, use.digest)
        if note is not None and note.why == _KIND:
            gone.add(use.digest)
            _forget_successors(settings, note, use.keys, forgotten, erased)
    erased.logged_rows = traffic.erase(storage, holdings.row_files(storage, pilot), forgotten.holds)
    erased.labels = traffic.erase(storage, holdings.label_files(storage, pilot), forgotten.holds)
    if spec.data.key is not None:
        scores = holdings.score_files(storage, pilot)
        erased.score_rows = traffic.erase(storage, scores, forgotten.holds, spec.data.key)
    uploads.drop_all(storage, pilot)  # nobody looks whose rows they hold, and whoever sent one has it
    for place in holdings.abandoned_scores(engine, settings, pilot):  # likewise
        shutil.rmtree(place, ignore_errors=True)
    for registered, digest in holdings.trained(registry, pilot).values():
        erased.reference_rows += _reference(settings, registry, registered, forgotten, erased)
        if digest in gone and TAG not in registered.tags:
            registry.tag(pilot, registered.version, {TAG: f"{datetime.now(UTC):%Y-%m-%d}: {MARK}"})
        if digest in gone:
            erased.versions.append(registered.version)
            _tell_shown(registry, registered, erased)
    erased.versions.sort()
    if gone:  # vectors of texts and images are found by what they were computed from: all are made anew
        Storage(str(settings.home)).delete(_VECTORS)


def _tell_shown(registry: Registry, registered: Registered, erased: Erased) -> None:
    """Say where a scorecard explains rows: they have no key, so nobody can tell whose they are."""
    try:
        found = registry.scorecard(registered).explanations
    except errors.NotFound:
        return
    if found is not None and found.examples:
        erased.notes.append(
            f"the scorecard of version {registered.version} explains {len(found.examples)} held-out rows "
            "without keys, which may be theirs; `card: {example_rows: false}` shows none from now on"
        )


def _forget_successors(
    settings: Settings, note: notes.Deleted, columns: frozenset[str], forgotten: Forgotten, erased: Erased
) -> None:
    """Rewrite what earlier erasures left of a snapshot, which no run names by its digest."""
    storage, seen = holdings.store(settings), set()
    digest = note.replaced_by
    while digest is not None and digest not in seen:
        seen.add(digest)
        for key in sorted(columns):
            found = rewrites.without(settings, digest, key, forgotten.holds)
            if found is not None:
                erased.snapshots.append(Replaced(digest, found.replaced_by, found.removed))
        following = notes.note_of(storage, digest)
        digest = None if following is None else following.replaced_by


def _reference(
    settings: Settings, registry: Registry, registered: Registered, forgotten: Forgotten, erased: Erased
) -> int:
    """Take rows out of the sample that a version keeps of its held-out rows; returns how many."""
    try:
        folder = registry.folder_at(registered.location)
    except errors.NotFound:
        return 0
    file = folder / INSIDE / samples.REFERENCE_FILE
    if not file.is_file():
        return 0
    table = samples.read(file)
    rest = traffic.without(table, "id", forgotten.holds)
    removed = table.num_rows - rest.num_rows
    if removed:
        _store(settings, registry, registered, folder, rest, erased)
    return int(removed)


def _store(
    settings: Settings, registry: Registry, registered: Registered, folder: Path, rest: Any, erased: Erased
) -> None:
    names = [f"{INSIDE}/{samples.REFERENCE_FILE}"]
    samples.write(rest, folder / names[0])
    if (folder / signatures.FILE).is_file():
        if settings.signing_key_file is None:
            erased.notes.append(
                f"version {registered.version}: its signature no longer fits its files; sign it again where "
                "PILOTAGE_SIGNING_KEY_FILE is set, by the same erasure there"
            )
        else:
            digest = registry.model(registered).digest
            signatures.sign(folder, settings.signing_key_file, digest)
            names.append(signatures.FILE)
    if local_path(registered.location) is None:
        registry.add_to_model(f"models:/{registered.location.rsplit('/', 2)[-2]}", folder, names)
