"""What the model says on average as one feature goes over its values: partial dependence.

Friedman (2001). Drawn over values that occur, between the 2 % and 98 % quantiles, and with how far
single rows differ from the mean (Goldstein, Kapelner, Bleich and Pitkin, 2015), which shows where
features act together. Values are combined that may never occur together; which features to look at
is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.datasets import Dataset
from pilotage.core import features
from pilotage.core.artifacts import Dependence, Scalar
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.specs import FeatureKind

ROWS = 200
VALUES = 12
"""Places of a number or a time."""
CATEGORIES = 8
_ORDERED = (FeatureKind.NUMBER, FeatureKind.TIME)
_LETTERS = 40


def explained_class(predictor: Predictor, rest: Dataset) -> Scalar | None:
    """The class whose probability is looked at: the positive one, else the commonest; None of numbers."""
    model = predictor.model
    if model.task is Task.REGRESSION:
        return None
    if model.positive is not None:
        return model.positive
    values, counts = np.unique(rest.target.astype(object), return_counts=True)
    found: Scalar = values[int(counts.argmax())]
    return found


def measure(
    predictor: Predictor, rest: Dataset, names: Sequence[str], of: Scalar | None, seed: int
) -> tuple[Dependence, ...]:
    """The dependences on some features, over at most `ROWS` held-out rows.

    Features that are neither numbers, times, booleans nor categories, and those of one value, are left out.
    """
    rng = np.random.default_rng(seed)
    part = rest.take(rng.permutation(rest.rows)[:ROWS])
    kinds = {feature.name: feature.kind for feature in rest.features}
    found = [_one(predictor, part, rest, name, kinds[name], of) for name in names]
    return tuple(item for item in found if item is not None)


def _one(
    predictor: Predictor, part: Dataset, rest: Dataset, name: str, kind: FeatureKind, of: Scalar | None
) -> Dependence | None:
    grid = _grid(rest.columns[name], kind)
    if grid.size < 2:
        return None
    columns = {key: np.tile(column, grid.size) for key, column in part.columns.items()}
    columns[name] = np.repeat(grid, part.rows).astype(columns[name].dtype)
    said = _said(predictor, columns, of).reshape(grid.size, part.rows)
    low, high = np.quantile(said, [0.1, 0.9], axis=1)
    ordered = kind in _ORDERED
    return Dependence(
        feature=name,
        ordered=ordered,
        values=tuple(text_of(value, kind) or "(missing)" for value in grid),
        places=tuple(_place(value) for value in grid) if ordered else (),
        means=tuple(said.mean(axis=1).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def _said(predictor: Predictor, columns: dict[str, Any], of: Scalar | None) -> npt.NDArray[np.float64]:
    prediction = predictor.predict_frame(features.to_frame(columns))
    if of is None:
        return prediction.score
    if prediction.probabilities is not None:
        told: npt.NDArray[np.float64] = prediction.probabilities[:, predictor.model.classes.index(of)]
        return told
    return np.asarray(prediction.predictions == of, dtype=np.float64)


def _grid(column: npt.NDArray[Any], kind: FeatureKind) -> npt.NDArray[Any]:
    """Values to look at; what is missing is none."""
    if kind in _ORDERED:
        missing = np.isnat(column) if column.dtype.kind == "M" else np.isnan(column)
        present = column[~missing]
        if not present.size:
            return np.empty(0)
        places = np.quantile(present, np.linspace(0.02, 0.98, VALUES), method="inverted_cdf")
        numbers: npt.NDArray[Any] = np.unique(places)
        return numbers
    if kind is FeatureKind.BOOLEAN:
        booleans: npt.NDArray[Any] = np.unique(column[~np.isnan(column)])
        return booleans
    if kind is not FeatureKind.CATEGORY:
        return np.empty(0)
    values, counts = np.unique([value for value in column.tolist() if value is not None], return_counts=True)
    common: npt.NDArray[Any] = values[np.argsort(-counts, kind="stable")[:CATEGORIES]].astype(object)
    return common


def _place(value: Any) -> float:
    if isinstance(value, np.datetime64):
        return float(value.astype("datetime64[us]").astype(np.int64)) / 1e6
    return float(value)


def text_of(value: Any, kind: FeatureKind) -> str | None:
    """A feature's value as people read it, cut short; None where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value.astype("datetime64[s]")).replace("T", " ")
    if kind is FeatureKind.BOOLEAN:
        return "true" if value else "false"
    told = f"{float(value):.6g}" if kind is FeatureKind.NUMBER else str(value)
    return told if len(told) <= _LETTERS else told[: _LETTERS - 1] + "…"
