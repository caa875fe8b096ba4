"""Checking a pilot without running it: its data read to the end, its suite and its estimator looked up.

The data goes through the same ingest as in a run, into a temporary folder, so
that what is said here is what a run would say.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pilotage.components import ingest, sources
from pilotage.components.ingestion import notations
from pilotage.components.training import own_estimators
from pilotage.components.validation import suites
from pilotage.core.artifacts import Snapshot
from pilotage.core.metrics import Task
from pilotage.core.pilots import Pilot
from pilotage.core.places import Place
from pilotage.core.settings import Settings
from pilotage.core.specs import Estimator, PilotSpec, clusters

FEWEST_ROWS = 50_000
"""Below so many rows a worker, starting them and their talk is likely to take longer than they save: an
estimate, for no machine with cores to spare was at hand to measure it."""


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    pilot: Pilot
    snapshot: Snapshot
    cacheable: bool
    """Whether a run can tell cheaply that the source has not changed."""
    warnings: tuple[str, ...] = ()
    """What would work, but hardly as it is meant."""

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
            "warnings": list(self.warnings),
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
    _require_params(spec, snapshot.task)
    cacheable = sources.fingerprint(spec, folder) is not None
    return Checked(pilot, snapshot, cacheable, tuple(_doubts(spec, snapshot, settings)))


def _require_params(spec: PilotSpec, task: Task) -> None:
    """Refuse a misspelt parameter of a built-in estimator now, not after minutes of a run."""
    if ":" in spec.train.estimator or not spec.train.params:
        return
    from pilotage.components.training import estimators  # with scikit-learn

    estimators.require_params(Estimator(spec.train.estimator), spec.train.params, task)


def _doubts(spec: PilotSpec, snapshot: Snapshot, settings: Settings) -> Iterator[str]:
    """Columns that are probably misread, and what several workers are too many for."""
    yield from map(notations.warning, snapshot.notices)
    resources = spec.train.resources
    if resources.workers == 1:
        return
    if find_spec("ray") is None:
        yield 'train.resources.workers: Ray is not installed here; pip install "pilotage[scale]".'
    asked = resources.workers * (clusters.cores(resources.cpu) if resources.cpu else 1.0)
    there = os.cpu_count() or 1
    if settings.run_on is Place.LOCAL and not settings.ray_address and asked > there:
        yield (
            f"train.resources: {resources.workers} workers ask for {asked:g} cores of this machine's {there};"
            " they take turns. PILOTAGE_RAY_ADDRESS names a cluster."
        )
    if snapshot.rows < resources.workers * FEWEST_ROWS:
        yield (
            f"train.resources: {snapshot.rows:,} rows for {resources.workers} workers; one is probably faster"
            f" below {FEWEST_ROWS:,} rows each."
        )


def read(pilot: Pilot, settings: Settings) -> Snapshot:
    """What ingest says of the pilot's data; nothing of it is kept.

    Raises:
        InputError, Unavailable: see `pilotage.components.ingest.ingest`.
    """
    with tempfile.TemporaryDirectory(prefix="pilotage-check-") as name:
        scratch = Path(name)
        aside = settings.model_copy(update={"home": scratch, "storage_url": ""})
        return ingest.ingest(pilot.spec, pilot.folder, aside, scratch, installation=settings)
