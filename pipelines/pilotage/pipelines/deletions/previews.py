"""What an erasure would take out, told before anybody asks for it; nothing is changed or noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine

from pilotage.components import rewrites
from pilotage.core import errors, samples
from pilotage.core.personal.erasures import Forgotten, note_of
from pilotage.core.registry import Registry
from pilotage.core.registry.clients import INSIDE
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines.deletions import erasures, holdings, traffic


@dataclass(frozen=True)
class Preview:
    """What an erasure of some keys would take out now."""

    pilot: str
    keys: int
    """How many were named."""
    snapshots: dict[str, int]
    """Rows by digest."""
    logged_rows: int
    labels: int
    reference_rows: int
    score_rows: int
    versions: tuple[int, ...]
    """Trained on such rows: they would be marked."""
    nowhere: tuple[int, ...] = ()
    """Positions, from 1, of the keys that no row was found of."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            **asdict(self),
            "versions": list(self.versions),
            "nowhere": list(self.nowhere),
            "dry_run": True,
        }


def preview(engine: Engine, settings: Settings, pilot: str, wanted: Sequence[str]) -> Preview:
    """What `erasures.forget` would find for these keys.

    Raises:
        NotFound: there is no such pilot.
        SpecError: it has no `data.key`, so no row can be told by one.
        RequestError: there is no key, an empty one, or too many.
    """
    spec, digests = erasures.hashes(engine, settings, pilot, wanted)
    wished = Forgotten(settings, pilot).only(digests)
    held = wished.holds
    storage, registry = holdings.store(settings), Registry(settings)
    rows: dict[str, int] = {}
    for use in holdings.uses(engine, pilot):
        for found in _chain(storage, use.digest):
            count = sum(rewrites.matching(settings, found, key, held) for key in sorted(use.keys))
            if count:
                rows[found] = count
    reference, versions = 0, []
    for number, (registered, digest) in sorted(holdings.trained(registry, pilot).items()):
        if digest in rows:
            versions.append(number)
        try:
            file = registry.folder_at(registered.location) / INSIDE / samples.REFERENCE_FILE
        except errors.NotFound:
            continue
        if file.is_file():
            table = samples.read(file)
            reference += table.num_rows - traffic.without(table, "id", held).num_rows
    logged = traffic.matching(storage, holdings.row_files(storage, pilot), held)
    labels = traffic.matching(storage, holdings.label_files(storage, pilot), held)
    scores = traffic.matching(storage, holdings.score_files(storage, pilot), held, spec.data.key or "")
    missing = tuple(erasures.nowhere(settings, spec, wanted, wished.met))
    return Preview(pilot, len(set(wanted)), rows, logged, labels, reference, scores, tuple(versions), missing)


def _chain(storage: Storage, digest: str) -> list[str]:
    """A snapshot and what earlier erasures left of it, which no run names by its digest."""
    found = [digest]
    while (note := note_of(storage, found[-1])) is not None:
        if note.replaced_by is None or note.replaced_by in found:
            break
        found.append(note.replaced_by)
    return found
