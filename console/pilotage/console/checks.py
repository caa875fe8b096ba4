"""Checking a pilot without running it: its data read to the end, its suite and its estimator looked up.

The data goes through the same ingest as in a run, into a temporary folder, so
that what is said here is what a run would say.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilotage.components import ingest, sources
from pilotage.components.training import own_estimators
from pilotage.components.validation import suites
from pilotage.core.artifacts import Snapshot
from pilotage.core.pilots import Pilot
from pilotage.core.settings import Settings


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    pilot: Pilot
    snapshot: Snapshot
    cacheable: bool
    """Whether a run can tell cheaply that the source has not changed."""

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        spec, snapshot = self.pilot.spec, self.snapshot
        return {
            "pilot": spec.pilot,
            "file": str(self.pilot.file),
            "source": snapshot.source,
            "rows": snapshot.rows,
            "digest": snapshot.digest,
            "task": snapshot.task.value,
            "target": snapshot.target,
            "classes": list(snapshot.classes),
            "time": snapshot.time,
            "key": snapshot.key,
            "time_range": [moment.isoformat() for moment in snapshot.time_range]
            if snapshot.time_range
            else None,
            "features": {feature.name: feature.kind.value for feature in snapshot.features},
            "excluded": {item.name: item.reason for item in snapshot.excluded},
            "estimator": spec.train.estimator,
            "expectations": spec.expectations,
            "gates": [gate.label for gate in spec.all_gates],
            "personal": [{**item.model_dump(mode="json"), "share": item.share} for item in snapshot.personal],
            "forgotten": snapshot.forgotten,
            "cacheable": self.cacheable,
        }


def check(pilot: Pilot, settings: Settings) -> Checked:
    """Read the pilot's data and look up what it names.

    Raises:
        InputError: something of it cannot be used; says what and what to do.
        Unavailable: a store or a database does not answer.
    """
    spec, folder = pilot.spec, pilot.folder
    if spec.expectations is not None:
        suites.load(spec.expectations, folder)
    if ":" in spec.train.estimator:
        own_estimators.find(spec.train.estimator, folder)
    snapshot = read(pilot, settings)
    return Checked(pilot, snapshot, cacheable=sources.fingerprint(spec, folder) is not None)


def read(pilot: Pilot, settings: Settings) -> Snapshot:
    """What ingest says of the pilot's data; nothing of it is kept.

    Raises:
        InputError, Unavailable: see `pilotage.components.ingest.ingest`.
    """
    with tempfile.TemporaryDirectory(prefix="pilotage-check-") as name:
        scratch = Path(name)
        aside = settings.model_copy(update={"home": scratch, "storage_url": ""})
        return ingest.ingest(pilot.spec, pilot.folder, aside, scratch, installation=settings)
