"""The Synthetic Data Vault's Gaussian copula, for those who have it installed.

It needs pandas 2 and Pilotage's components pandas 3, so it is found only where somebody made an
environment of their own with both of them working; nothing here is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pilotage.components.datasets import Dataset
from pilotage.core import errors, features
from pilotage.core.artifacts import Feature
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind

_TARGET = "__target__"


@dataclass(frozen=True)
class SdvSynthesizer:
    """One model of theirs for each class."""

    features: tuple[Feature, ...]
    by_class: Mapping[Any, Any]
    rows: int
    notes: tuple[str, ...] = ()

    def draw(self, counts: Mapping[Any, int], seed: int) -> Dataset:
        parts = []
        for name, rows in counts.items():
            model = self.by_class[name]
            _seeded(model, seed)
            frame = model.sample(num_rows=rows) if rows else model.sample(num_rows=1).head(0)
            parts.append(frame)
        frame = importlib.import_module("pandas").concat(parts, ignore_index=True)
        columns = {
            feature.name: features.from_values(feature, _plain(frame[feature.name].tolist()))
            for feature in self.features
        }
        if None in self.by_class:
            target = frame[_TARGET].to_numpy(dtype=np.float64)
        else:
            target = np.repeat(np.array(list(counts)), list(counts.values()))
        return Dataset(self.features, columns, target)


def fit(dataset: Dataset, task: Task, least: int) -> SdvSynthesizer:
    """Their model of the rows of each class with `least` rows.

    Raises:
        MissingExtra: SDV is not installed.
    """
    try:
        single = importlib.import_module("sdv.single_table")
        metadata = importlib.import_module("sdv.metadata")
    except ImportError as error:
        raise errors.MissingExtra(
            "`data.augment.method: sdv` needs the Synthetic Data Vault, which is not installed here.",
            remedy="Leave `method` out for the built-in copula, or install `sdv` in an environment apart.",
            package="sdv",
        ) from error
    frame = dataset.frame()
    if task is Task.REGRESSION:
        frame[_TARGET] = dataset.target
    described = metadata.SingleTableMetadata()
    for feature in dataset.features:
        described.add_column(feature.name, sdtype=_SDTYPES[feature.kind])
    if task is Task.REGRESSION:
        described.add_column(_TARGET, sdtype="numerical")
    found: dict[Any, Any] = {}
    from pilotage.components.synthesis.synthesizers import classes_of

    for name, rows in classes_of(dataset, task).items():
        if rows >= least:
            model = single.GaussianCopulaSynthesizer(described)
            model.fit(frame if name is None else frame[dataset.target == name])
            found[name] = model
    return SdvSynthesizer(dataset.features, found, dataset.rows)


_SDTYPES = {
    FeatureKind.NUMBER: "numerical",
    FeatureKind.BOOLEAN: "numerical",
    FeatureKind.CATEGORY: "categorical",
    FeatureKind.TIME: "datetime",
}


def _seeded(model: Any, seed: int) -> None:
    """Make its next sample one that `seed` decides; it has no argument for that."""
    model.reset_sampling()
    if hasattr(model, "_set_random_state"):
        model._set_random_state(seed)


def _plain(values: list[Any]) -> list[Any]:
    return [None if value is None or value != value else value for value in values]
