"""Estimates approach the definition, add up whatever the budget, and stop when it is used up."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC
from tests.unit.core.explanations import explained_models

from pilotage.core.explanations import samplers
from pilotage.core.explanations.attributions import Budget, Method, Output
from pilotage.core.features import Columns

BACKGROUND = {name: np.random.default_rng(position).normal(size=32) for position, name in enumerate("abcde")}
ROWS = {name: np.random.default_rng(9 + position).normal(size=3) for position, name in enumerate("abcde")}
FIRST = np.zeros(3, dtype=np.intp)


def entangled(columns: Columns) -> Any:
    """Products of up to three features."""
    a, b, c, d, e = columns.values()
    return (a * b + np.sin(c) * d * e + 2 * a)[:, np.newaxis]


def test_estimates_are_within_their_errors_of_the_definition() -> None:
    found = samplers.estimate(entangled, ROWS, BACKGROUND, FIRST, Budget(32 * 9 * 40 + 1, 60))
    for row in range(3):
        told = explained_models.against_background(
            lambda columns: entangled(columns)[:, 0], ROWS, row, BACKGROUND
        )
        distance = np.abs(found.contributions[row] - told)
        assert (distance <= 4 * found.standard_errors[row] + 1e-12).all()
        assert distance.max() < 0.1


@pytest.mark.parametrize("evaluations", [1, 20, 100, 1000])
def test_base_and_contributions_add_up_exactly(evaluations: int) -> None:
    found = samplers.estimate(entangled, ROWS, BACKGROUND, FIRST, Budget(evaluations, 60))
    np.testing.assert_allclose(found.base + found.contributions.sum(axis=1), found.values, atol=1e-12)
    np.testing.assert_allclose(found.values, entangled(ROWS)[:, 0])


@pytest.mark.parametrize("evaluations", [1, 19, 100, 5000])
def test_the_budget_of_evaluations_is_kept_and_counted(evaluations: int) -> None:
    asked = 0

    def counted(columns: Columns) -> Any:
        nonlocal asked
        asked += len(columns["a"])
        return entangled(columns)

    found = samplers.estimate(counted, ROWS, BACKGROUND, FIRST, Budget(evaluations, 60))
    assert asked == 3 * found.evaluations
    least = 1 + samplers.FEWEST_ROUNDS * 9
    assert found.evaluations <= max(least, evaluations)
    assert found.evaluations > evaluations - 9 or found.evaluations == least


def test_the_budget_of_seconds_ends_after_the_round_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "ROWS_TOGETHER", 1)
    ticks = itertools.count()
    found = samplers.estimate(
        entangled, ROWS, BACKGROUND, FIRST, Budget(10**9, 4.5), clock=lambda: float(next(ticks))
    )
    # the clock moves by one at each look: four looks fit, and two rounds are made between two
    assert found.evaluations == 1 + 5 * samplers.FEWEST_ROUNDS * 9


def test_rows_do_not_change_each_others_estimates() -> None:
    together = samplers.estimate(entangled, ROWS, BACKGROUND, FIRST, Budget(500, 60))
    one = {name: column[1:2] for name, column in ROWS.items()}
    alone = samplers.estimate(entangled, one, BACKGROUND, FIRST[:1], Budget(500, 60))
    np.testing.assert_allclose(alone.contributions[0], together.contributions[1])


def test_large_tables_are_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = samplers.estimate(entangled, ROWS, BACKGROUND, FIRST, Budget(500, 60))
    largest = 0

    def watched(columns: Columns) -> Any:
        nonlocal largest
        largest = max(largest, len(columns["a"]))
        return entangled(columns)

    monkeypatch.setattr(samplers, "MOST_CELLS", 100)
    parts = samplers.estimate(watched, ROWS, BACKGROUND, FIRST, Budget(500, 60))
    assert largest == 18  # two walks of nine stops and five features
    np.testing.assert_allclose(parts.contributions, whole.contributions)


def test_one_feature_gets_all() -> None:
    found = samplers.estimate(
        lambda columns: columns["a"][:, np.newaxis] ** 2,
        {"a": ROWS["a"]},
        {"a": BACKGROUND["a"]},
        FIRST,
        Budget(64, 60),
    )
    np.testing.assert_allclose(found.contributions[:, 0], ROWS["a"] ** 2 - found.base)


@pytest.mark.parametrize(
    ("model", "classes", "output"),
    [
        pytest.param(KNeighborsClassifier(), 2, Output.PROBABILITY, id="neighbours"),
        pytest.param(KNeighborsClassifier(), 3, Output.PROBABILITY, id="neighbours-3"),
        pytest.param(KNeighborsRegressor(), 0, Output.NUMBER, id="neighbours-number"),
        pytest.param(SVC(), 2, Output.SCORE, id="machine"),
        pytest.param(SVC(), 3, Output.SCORE, id="machine-3"),
    ],
)
def test_a_model_that_is_neither_trees_nor_linear_is_estimated(
    model: Any, classes: int, output: Output
) -> None:
    positive = True if classes == 2 else None
    pair = explained_models.fitted(model, classes, trees=False, positive=positive)
    columns = explained_models.asked()
    found = explained_models.explainer(pair).explain(columns, explained_models.BUDGET)
    assert (found.method, found.output, found.exact) == (Method.PERMUTATION, output, False)
    assert found.standard_errors is not None
    assert found.standard_errors.shape == found.contributions.shape == (12, 4)
    assert 400 < found.evaluations <= 500
    np.testing.assert_allclose(found.base + found.contributions.sum(axis=1), found.values, atol=1e-9)
    said = pair[0].predict(columns)
    if output is Output.PROBABILITY:
        assert said.probabilities is not None
        assert found.classes is not None
        which = [pair[0].model.classes.index(value) for value in found.classes]
        np.testing.assert_allclose(found.values, said.probabilities[np.arange(12), which])
    elif classes == 3:
        assert found.classes == tuple(said.predictions.tolist())
        assert set(found.values) == {1.0}
    else:
        np.testing.assert_allclose(found.values, said.score)
