"""Contributions of linear models are exact, and models that only look linear are found out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.svm import LinearSVC
from tests.unit.core.explanations import explained_models
from tests.unit.serving import small_models

from pilotage.core import features
from pilotage.core.explanations import additives, backgrounds
from pilotage.core.explanations.attributions import Method, Output
from pilotage.core.metrics import Task


@pytest.mark.parametrize(
    ("model", "classes", "output"),
    [
        pytest.param(LogisticRegression(max_iter=1000), 2, Output.LOG_ODDS, id="logistic"),
        pytest.param(LogisticRegression(max_iter=1000), 3, Output.MARGIN, id="logistic-3"),
        pytest.param(Ridge(), 0, Output.NUMBER, id="ridge"),
        pytest.param(LinearSVC(), 2, Output.SCORE, id="svc"),
    ],
)
def test_contributions_are_those_of_the_definition(model: Any, classes: int, output: Output) -> None:
    positive = True if classes == 2 else None
    pair = explained_models.fitted(model, classes, trees=False, positive=positive)
    columns = explained_models.asked(4)
    found = explained_models.explainer(pair).explain(columns, explained_models.BUDGET)
    assert (found.method, found.output) == (Method.LINEAR, output)
    background = backgrounds.draw(pair[0].model.features, pair[1])
    known = list(pair[0].model.classes)
    for row in range(4):
        output_number = known.index(found.classes[row]) if classes > 2 and found.classes else 0

        def raw(asked: features.Columns, number: int = output_number) -> Any:
            return additives.raw_output(pair[0].estimator, features.to_frame(asked))[:, number]

        told = explained_models.against_background(raw, columns, row, background)
        np.testing.assert_allclose(found.contributions[row], told, atol=1e-9)
        assert found.base[row] == pytest.approx(raw(background).mean())
        assert found.values[row] == pytest.approx(raw(columns)[row])


def test_the_positive_class_decides_the_sign() -> None:
    columns = explained_models.asked()
    model = LogisticRegression(max_iter=1000)
    towards = [
        explained_models.explainer(explained_models.fitted(model, 2, trees=False, positive=positive)).explain(
            columns, explained_models.BUDGET
        )
        for positive in (True, False)
    ]
    np.testing.assert_allclose(towards[0].contributions, -towards[1].contributions)
    np.testing.assert_allclose(towards[0].base, -towards[1].base)
    assert [found.classes for found in towards] == [(True,) * 12, (False,) * 12]


def test_a_linear_model_of_products_is_not_taken_for_additive() -> None:
    columns, delay = explained_models.table()
    numbers = {name: np.nan_to_num(columns[name]) for name in ("distance", "holiday")}
    numbers["distance"] = numbers["distance"] / 1000
    product = delay * numbers["holiday"]
    for steps in ((PolynomialFeatures(2), Ridge()), (Nystroem(n_components=10, random_state=0), Ridge())):
        model = make_pipeline(*steps).fit(features.to_frame(numbers), product)
        pair = explained_models.described(model, (), columns=numbers)
        found = explained_models.explainer(pair).explain(numbers, explained_models.BUDGET)
        assert found.method is Method.PERMUTATION
        np.testing.assert_allclose(
            found.base + found.contributions.sum(axis=1), model.predict(features.to_frame(numbers)), atol=1e-9
        )


def test_a_version_without_profiles_is_compared_with_missing_values() -> None:
    made = small_models.predictor(Task.REGRESSION)
    bare = small_models.profile(made).model_copy(update={"features": {}})
    columns = explained_models.asked(3)
    found = explained_models.explainer((made, bare)).explain(columns, explained_models.BUDGET)
    assert found.method is Method.LINEAR
    nothing = {name: column[:1] for name, column in backgrounds.draw(small_models.FEATURES, bare).items()}
    assert found.base[0] == pytest.approx(made.predict(nothing).score[0])
    np.testing.assert_allclose(found.base + found.contributions.sum(axis=1), found.values)
