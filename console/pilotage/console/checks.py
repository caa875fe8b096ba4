"""Checking a pilot without running it: its data read to the end, its suite and its estimator looked up.

The data goes through the same ingest as in a run, into a temporary folder, so
that what is said here is what a run would say.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pilotage.components import ingest, sources
from pilotage.components.ingestion import notations
from pilotage.components.training import own_estimators
from pilotage.components.validation import suites
from pilotage.core import errors
from pilotage.core.artifacts import Snapshot
from pilotage.core.metrics import Task
from pilotage.core.pilots import Pilot
from pilotage.core.places import Place
from pilotage.core.settings import Settings
from pilotage.core.specs import EMBEDDED, Encoder, Estimator, FeatureKind, PilotSpec, Range, clusters

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
        suites.require_stored(suites.load(spec.expectations, folder), spec)
    if ":" in spec.train.estimator:
        own_estimators.find(spec.train.estimator, folder)
    doubts = list(_encoders(spec, folder, settings))
    snapshot = _read(pilot, settings, lambda files: doubts.extend(_numbers_as_texts(spec, files)))
    _require_params(spec, folder, settings, snapshot.task)
    cacheable = sources.fingerprint(spec, folder) is not None
    doubts += map(notations.warning, snapshot.notices)
    doubts += _workers(spec, snapshot, settings)
    return Checked(pilot, snapshot, cacheable, tuple(doubts))


def _require_params(spec: PilotSpec, folder: Path, settings: Settings, task: Task) -> None:
    """Refuse parameters that the estimator does not have or want now, not after minutes of a run.

    Of a search the ends of its space are tried with a built-in. A function of the pilot's own is called where
    nothing is searched: that a search meets parameters which do not go together is no mistake.
    """
    train = spec.train
    space = train.search.space if train.search is not None else {}
    ends = [{**train.params, **{name: _ends(item)[end] for name, item in space.items()}} for end in (0, -1)]
    if ":" in train.estimator:
        try_out = own_estimators.require_arguments if space else own_estimators.build
        try_out(train.estimator, ends[0], seed=train.seed, folder=folder)
        return
    if not ends[0]:
        return
    from pilotage.components.training import estimators  # with scikit-learn

    family = Estimator(train.estimator)
    estimators.require_params(family, ends[0], task)
    if family is Estimator.MLP and settings.run_on is not Place.LOCAL:
        return  # PyTorch, and a GPU, are where it will train
    for params in ends if space else ends[:1]:
        estimators.require_values(family, params, task=task, seed=train.seed)


def _ends(found: Range) -> Sequence[Any]:
    if found.choices is not None:
        return found.choices
    low, high = found.low or 0.0, found.high or 0.0
    return (math.ceil(low), math.floor(high)) if found.integer else (low, high)


def _encoders(spec: PilotSpec, folder: Path, settings: Settings) -> Iterator[str]:
    """Refuse an encoder that is not there; tell of one that is not installed here.

    A model on a hub is not fetched, and none is opened but the backbones of images.
    """
    embedded = {name: kind for name, kind in (spec.data.features or {}).items() if kind in EMBEDDED}
    if not embedded or ":" in spec.train.estimator:
        return
    from pilotage.components.training.deep import backbones, places

    nowhere = settings.model_copy(update={"allow_hub": False})
    for name, kind in embedded.items():
        wanted = spec.train.encoders.get(name, Encoder())
        if kind is FeatureKind.IMAGE:
            backbones.read(wanted, folder)
            continue
        encoder = wanted.model or settings.encoder
        if settings.allow_hub and encoder.count("/") == 1 and not (folder / encoder).is_dir():
            continue
        try:
            places.find(encoder, folder, nowhere)
        except errors.MissingExtra as error:
            yield f"`{name}` is text: {error.message} {error.remedy}"


def _numbers_as_texts(spec: PilotSpec, files: Sequence[Path]) -> Iterator[str]:
    """Texts that are numbers, all of them: an encoder of sentences has little to say of those."""
    import polars as pl

    texts = [name for name, kind in (spec.data.features or {}).items() if kind is FeatureKind.TEXT]
    if not texts:
        return
    there = pl.scan_parquet(list(files), glob=False).select(texts)
    counted = there.select(
        pl.struct(
            present=pl.col(name).is_not_null().sum(),
            numbers=pl.col(name).cast(pl.String).cast(pl.Float64, strict=False).is_not_null().sum(),
        ).alias(name)
        for name in texts
    )
    for name, count in counted.collect().to_dicts()[0].items():
        if count["numbers"] == count["present"] > 0:
            yield (
                f"data.features.{name}: all {count['present']:,} values are numbers, and `text` gives them to"
                " an encoder of sentences; `number` takes them as they are, `category` as names."
            )


def _workers(spec: PilotSpec, snapshot: Snapshot, settings: Settings) -> Iterator[str]:
    """What several workers are too many for, where they run on this machine."""
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


def _read(pilot: Pilot, settings: Settings, look: Callable[[Sequence[Path]], None]) -> Snapshot:
    """What ingest says of the pilot's data; nothing of it is kept, but `look` may see its files.

    Raises:
        InputError, Unavailable: see `pilotage.components.ingest.ingest`.
    """
    with tempfile.TemporaryDirectory(prefix="pilotage-check-") as name:
        scratch = Path(name)
        aside = settings.model_copy(update={"home": scratch, "storage_url": ""})
        found = ingest.ingest(pilot.spec, pilot.folder, aside, scratch, installation=settings)
        look(sorted(scratch.rglob("*.parquet")))
        return found
