"""Trained models of every family on one small table, and Shapley values by their definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.unit.serving import small_models

from pilotage.components.training import encodings
from pilotage.core import features, profiles
from pilotage.core.encoders import LabelEncoded
from pilotage.core.explanations import backgrounds
from pilotage.core.explanations.attributions import Budget
from pilotage.core.explanations.methods import Explainer
from pilotage.core.features import Columns
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.profiles import ReferenceProfile

BUDGET = Budget(evaluations=500, seconds=30)
NAMES = tuple(feature.name for feature in small_models.FEATURES)


@cache
def table() -> tuple[Columns, npt.NDArray[Any]]:
    """300 training rows with every kind of feature and missing values, and how late each was."""
    rows = small_models.rows(300)
    rows[3]["carrier"] = rows[5]["holiday"] = rows[8]["bought"] = None
    delay = [(row["distance"] or 0) / 100 + 8 * (row["carrier"] == "UA") for row in rows]
    return features.from_rows(small_models.FEATURES, rows), np.array(delay)


def fitted(
    model: Any, classes: int = 0, *, trees: bool = True, positive: bool | None = None
) -> tuple[Predictor, ReferenceProfile]:
    """`model` behind the built-in encoding; `classes` of 0 is a regression."""
    columns, delay = table()
    known: tuple[Any, ...] = ()
    target: npt.NDArray[Any] = delay
    if classes == 2:
        known, target = (False, True), delay > np.median(delay)
    elif classes:
        known = tuple("abcdef"[:classes])
        target = np.array(known)[np.digitize(delay, np.quantile(delay, np.linspace(0, 1, classes + 1)[1:-1]))]
    encode = encodings.for_trees if trees else encodings.for_linear_models
    from sklearn.pipeline import Pipeline

    estimator = Pipeline([("encode", encode(small_models.FEATURES)), ("model", model)])
    estimator.fit(features.to_frame(columns), target)
    return described(estimator, known, positive)


def described(
    estimator: Any, classes: tuple[Any, ...], positive: Any = None, columns: Columns | None = None
) -> tuple[Predictor, ReferenceProfile]:
    """An estimator fitted on `columns`, or on the whole table, with what is known of it."""
    made = small_models.predictor()
    seen = table()[0] if columns is None else columns
    wanted = tuple(feature for feature in small_models.FEATURES if feature.name in seen)
    facts = {
        "task": Task.CLASSIFICATION if classes else Task.REGRESSION,
        "classes": classes,
        "positive": positive,
        "features": wanted,
    }
    predictor = Predictor(estimator, made.model.model_copy(update=facts))
    found = {feature.name: profiles.profile_column(feature, seen[feature.name]) for feature in wanted}
    return predictor, small_models.profile(made).model_copy(update={"features": found})


def encoded(model: Any) -> Any:
    return LabelEncoded(model)


def asked(rows: int = 12) -> Columns:
    """Rows that training did not see, with a missing value of each kind and an unseen category."""
    given = small_models.rows(rows, seed=9)
    given[0] |= {"distance": None, "carrier": None, "holiday": None, "bought": None}
    given[1]["carrier"] = "ZZ"
    return features.from_rows(small_models.FEATURES, given)


def explainer(pair: tuple[Predictor, ReferenceProfile]) -> Explainer:
    return Explainer(*pair)


def by_definition(value: Callable[[frozenset[int]], float], count: int) -> npt.NDArray[np.float64]:
    """Shapley values of `count` players from the worth of each coalition (Shapley, 1953)."""
    found = np.zeros(count)
    for player in range(count):
        others = [other for other in range(count) if other != player]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for chosen in itertools.combinations(others, size):
                coalition = frozenset(chosen)
                found[player] += weight * (value(coalition | {player}) - value(coalition))
    return found


def against_background(
    function: Callable[[Columns], npt.NDArray[np.float64]], columns: Columns, row: int, background: Columns
) -> npt.NDArray[np.float64]:
    """Shapley values of one row where features that are not in a coalition come from the background."""
    rows, count = len(next(iter(background.values()))), len(columns)
    everyone = np.arange(rows)

    def worth(coalition: frozenset[int]) -> float:
        mask = np.zeros((rows, count), dtype=bool)
        mask[:, sorted(coalition)] = True
        mixed = backgrounds.mix(columns, background, np.full(rows, row), everyone, mask)
        return float(function(mixed).mean())

    return by_definition(worth, count)
