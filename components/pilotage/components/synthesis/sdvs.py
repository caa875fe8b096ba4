"""The Synthetic Data Vault's Gaussian copula, for those who have it installed.

It needs pandas 2 and Pilotage's components pandas 3, so it is found only where somebody made an
environment of their own with both of them working; nothing here is imported before it is asked for.
Written for SDV 2, which takes and gives tables by name; SDV 1 had other calls and is refused.
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
_TABLE = "rows"
"""Their name of the table; SDV 2 gives and takes tables by name, and has a seed for no call."""


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
            parts.append(model.sample(num_rows=max(1, rows))[_TABLE].head(rows))
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
        MissingExtra: SDV is not installed, or an older one than 2.
        DataError: a feature is of a kind that it does not make.
    """
    from pilotage.components.synthesis.synthesizers import classes_of

    single, metadata = _modules()
    frame = _frame(dataset)
    if task is Task.REGRESSION:
        frame[_TARGET] = dataset.target.astype(np.float64)
    described = metadata.Metadata.load_from_dict({"tables": {_TABLE: {"columns": _columns(dataset, task)}}})
    found: dict[Any, Any] = {}
    for name, rows in classes_of(dataset, task).items():
        if rows >= least:
            model = single.GaussianCopulaSynthesizer(described)
            part = frame if name is None else frame[dataset.target == name].reset_index(drop=True)
            model.fit({_TABLE: part})
            found[name] = model
    return SdvSynthesizer(dataset.features, found, dataset.rows)


def _modules() -> tuple[Any, Any]:
    try:
        single = importlib.import_module("sdv.single_table")
        metadata = importlib.import_module("sdv.metadata")
    except ImportError as error:
        raise errors.MissingExtra(
            "`data.augment.method: sdv` needs the Synthetic Data Vault, which is not installed here.",
            remedy="Leave `method` out for the built-in copula, or install `sdv` in an environment apart.",
            package="sdv",
        ) from error
    found = importlib.import_module("sdv").__version__
    if int(found.partition(".")[0]) < _LEAST:
        raise errors.MissingExtra(
            f"`data.augment.method: sdv` is written for SDV {_LEAST}, and {found} is installed here.",
            remedy=f"Install `sdv>={_LEAST}`, or leave `method` out for the built-in copula.",
            package="sdv",
        )
    return single, metadata


def _columns(dataset: Dataset, task: Task) -> dict[str, dict[str, str]]:
    found = {}
    for feature in dataset.features:
        if feature.kind not in _SDTYPES:
            raise errors.DataError(
                f"`{feature.name}` is {feature.kind}, of which SDV's copula makes none.",
                remedy="Leave `data.augment.method` out for the built-in copula, or the feature.",
            )
        found[feature.name] = {"sdtype": _SDTYPES[feature.kind]}
    return found | ({_TARGET: {"sdtype": "numerical"}} if task is Task.REGRESSION else {})


def _frame(dataset: Dataset) -> Any:
    """The features as SDV takes them: texts as objects, times in nanoseconds, which it takes all for."""
    frame = dataset.frame()
    for feature in dataset.features:
        if _SDTYPES.get(feature.kind) == "categorical":
            values = frame[feature.name].astype(object)
            frame[feature.name] = values.where(values.notna(), None)
        elif feature.kind is FeatureKind.TIME:
            frame[feature.name] = frame[feature.name].astype("datetime64[ns]")
    return frame


_LEAST = 2
"""Their major version whose calls these are."""
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
