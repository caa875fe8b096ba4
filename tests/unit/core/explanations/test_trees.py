"""Contributions of tree ensembles are exact: the definition's, shap's, and in sum the model's own output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeRegressor
from tests.unit.core.explanations import explained_models
from xgboost import XGBClassifier, XGBRegressor

from pilotage.core import features
from pilotage.core.explanations.attributions import Method, Output

LIGHT: dict[str, Any] = {"n_estimators": 20, "verbose": -1, "n_jobs": 1, "min_child_samples": 5}
XG: dict[str, Any] = {"n_estimators": 20, "n_jobs": 1}
FEW: dict[str, Any] = {"max_iter": 20, "early_stopping": False, "min_samples_leaf": 5}
WOOD: dict[str, Any] = {"n_estimators": 20, "min_samples_leaf": 3, "random_state": 0, "n_jobs": 1}

MODELS = [
    pytest.param(HistGradientBoostingClassifier(**FEW), 2, Output.LOG_ODDS, id="hgb"),
    pytest.param(HistGradientBoostingClassifier(**FEW), 3, Output.MARGIN, id="hgb-3"),
    pytest.param(HistGradientBoostingRegressor(**FEW), 0, Output.NUMBER, id="hgb-number"),
    pytest.param(HistGradientBoostingRegressor(**FEW, loss="poisson"), 0, Output.LOG, id="hgb-poisson"),
    pytest.param(RandomForestClassifier(**WOOD), 2, Output.PROBABILITY, id="forest"),
    pytest.param(RandomForestClassifier(**WOOD), 4, Output.PROBABILITY, id="forest-4"),
    pytest.param(ExtraTreesClassifier(**WOOD), 3, Output.PROBABILITY, id="extra-3"),
    pytest.param(RandomForestRegressor(**WOOD), 0, Output.NUMBER, id="forest-number"),
    pytest.param(explained_models.encoded(LGBMClassifier(**LIGHT)), 2, Output.LOG_ODDS, id="lightgbm"),
    pytest.param(explained_models.encoded(LGBMClassifier(**LIGHT)), 3, Output.MARGIN, id="lightgbm-3"),
    pytest.param(LGBMRegressor(**LIGHT), 0, Output.NUMBER, id="lightgbm-number"),
    pytest.param(LGBMRegressor(**LIGHT, objective="tweedie"), 0, Output.LOG, id="lightgbm-tweedie"),
    pytest.param(explained_models.encoded(XGBClassifier(**XG)), 2, Output.LOG_ODDS, id="xgboost"),
    pytest.param(explained_models.encoded(XGBClassifier(**XG)), 3, Output.MARGIN, id="xgboost-3"),
    pytest.param(XGBRegressor(**XG), 0, Output.NUMBER, id="xgboost-number"),
]


@pytest.mark.parametrize("trees", [pytest.param(True, id="codes"), pytest.param(False, id="one-hot")])
@pytest.mark.parametrize(("model", "classes", "output"), MODELS)
def test_base_and_contributions_are_what_the_model_says(
    model: Any, classes: int, output: Output, trees: bool
) -> None:
    pair = explained_models.fitted(model, classes, trees=trees)
    columns = explained_models.asked()
    found = explained_models.explainer(pair).explain(columns, explained_models.BUDGET)
    assert (found.method, found.output, found.exact) == (Method.TREE, output, True)
    np.testing.assert_allclose(
        found.base + found.contributions.sum(axis=1), found.values, rtol=1e-6, atol=1e-6
    )
    said = pair[0].predict(columns)
    if not classes:
        readings = {Output.NUMBER: found.values, Output.LOG: np.exp(found.values)}
        np.testing.assert_allclose(readings[output], said.predictions, rtol=1e-5, atol=1e-5)
        assert found.classes is None
        return
    assert found.classes is not None
    assert said.probabilities is not None
    known = pair[0].model.classes
    wanted = [True] * 12 if classes == 2 else said.predictions.tolist()
    assert list(found.classes) == wanted
    share = said.probabilities[np.arange(12), [known.index(value) for value in wanted]]
    if output is Output.LOG_ODDS:
        np.testing.assert_allclose(1 / (1 + np.exp(-found.values)), share, rtol=1e-5, atol=1e-7)
    elif output is Output.PROBABILITY:
        np.testing.assert_allclose(found.values, share, rtol=1e-6)
    assert np.abs(found.contributions[:, explained_models.NAMES.index("distance")]).max() > 0.01


def expected(tree: Any, row: Any, known: frozenset[int], node: int = 0) -> float:
    """What a tree expects that knows only the columns in `known`: Lundberg et al., 2020, algorithm 1."""
    left, right = int(tree.children_left[node]), int(tree.children_right[node])
    if left < 0:
        return float(tree.value[node].ravel()[0])
    column = int(tree.feature[node])
    if column in known:
        value = np.float32(row[column])
        to_left = bool(tree.missing_go_to_left[node]) if np.isnan(value) else value <= tree.threshold[node]
        return expected(tree, row, known, left if to_left else right)
    weights = tree.weighted_n_node_samples
    shares = weights[left] * expected(tree, row, known, left) + weights[right] * expected(
        tree, row, known, right
    )
    return float(shares / weights[node])


def test_a_trees_contributions_are_those_of_the_definition() -> None:
    pair = explained_models.fitted(DecisionTreeRegressor(max_depth=4, random_state=0))
    pipeline, columns = pair[0].estimator, explained_models.asked(6)
    found = explained_models.explainer(pair).explain(columns, explained_models.BUDGET)
    rows = np.asarray(pipeline[:-1].transform(features.to_frame(columns)), dtype=float)
    tree = pipeline[-1].tree_
    # columns: distance, holiday, four parts of bought, carrier
    owners = ["distance", "holiday", *["bought"] * 4, "carrier"]
    for position, row in enumerate(rows):

        def worth(known: frozenset[int], row: Any = row) -> float:
            return expected(tree, row, known)

        told = explained_models.by_definition(worth, len(owners))
        by_feature = [
            sum(value for value, owner in zip(told, owners, strict=True) if owner == name)
            for name in explained_models.NAMES
        ]
        np.testing.assert_allclose(found.contributions[position], by_feature, atol=1e-9)
        assert found.base[position] == pytest.approx(expected(tree, row, frozenset()))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: LGBMRegressor(**LIGHT), id="lightgbm"),
        pytest.param(lambda: XGBRegressor(**XG), id="xgboost"),
    ],
)
def test_what_a_library_says_itself_is_what_shap_says(make: Callable[[], Any]) -> None:
    from pilotage.core.explanations import trees

    pair = explained_models.fitted(make())
    columns = explained_models.asked()
    frame = features.to_frame(columns)
    own = trees.explainer(pair[0].estimator, explained_models.NAMES)
    assert own is not None
    import shap

    shaps = shap.TreeExplainer(pair[0].estimator[-1])
    told = shaps.shap_values(np.asarray(pair[0].estimator[:-1].transform(frame)))
    by_feature = np.stack([told[:, 0], told[:, 6], told[:, 1], told[:, 2:6].sum(axis=1)], axis=1)
    np.testing.assert_allclose(own(frame).contributions[:, :, 0], by_feature, rtol=1e-4, atol=1e-4)


def test_an_ensemble_without_an_encoding_is_explained_by_its_columns() -> None:
    columns, delay = explained_models.table()
    numbers = {name: columns[name] for name in ("distance", "holiday")}
    model = HistGradientBoostingRegressor(**FEW).fit(features.to_frame(numbers), delay)
    pair = explained_models.described(model, (), columns=numbers)
    found = explained_models.explainer(pair).explain(numbers, explained_models.BUDGET)
    assert (found.method, found.features) == (Method.TREE, ("distance", "holiday"))
    np.testing.assert_allclose(found.values, model.predict(features.to_frame(numbers)))


def test_what_does_not_add_up_to_the_prediction_is_estimated_instead() -> None:
    """Native categories of gradient boosting are read wrongly by shap 0.51."""
    columns, delay = explained_models.table()
    codes = np.unique([str(value) for value in columns["carrier"]], return_inverse=True)[1].astype(float)
    numbers = {"distance": columns["distance"], "holiday": codes}
    model = HistGradientBoostingRegressor(**FEW, categorical_features=[1]).fit(
        features.to_frame(numbers), delay
    )
    pair = explained_models.described(Pipeline([("model", model)]), (), columns=numbers)
    found = explained_models.explainer(pair).explain(numbers, explained_models.BUDGET)
    assert found.method is Method.PERMUTATION
    np.testing.assert_allclose(found.values, pair[0].predict(numbers).predictions)
