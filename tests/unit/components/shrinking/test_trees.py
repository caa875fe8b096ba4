"""Ensembles with fewer trees and leaves: what they still say, and by which criterion leaves go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor

from pilotage.components.compilation import estimators, graphs
from pilotage.components.compilation.estimators import Body, Ensemble
from pilotage.components.shrinking import trees
from pilotage.core.artifacts import Link
from pilotage.core.forms.sessions import open_session

ROWS = 800


@pytest.fixture(scope="module")
def matrix() -> Any:
    rng = np.random.default_rng(3)
    found = rng.normal(size=(ROWS, 4))
    found[rng.random(found.shape) < 0.05] = np.nan
    return found


@pytest.fixture(scope="module")
def truth(matrix: Any) -> Any:
    filled = np.nan_to_num(matrix)
    return filled[:, 0] * 3 + np.sin(filled[:, 1]) + (filled[:, 2] > 0)


@pytest.fixture(scope="module")
def boosted(matrix: Any, truth: Any) -> Any:
    return HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(matrix, truth)


def sums(body: Body, matrix: Any, *, single: bool = False) -> Any:
    graph = graphs.graph(body.part, matrix.shape[1], body.base.size, single=single)
    asked = matrix.astype(np.float32) if single or body.single else matrix
    asked = asked if single else asked.astype(np.float64)
    return open_session(graph).run(None, {"x": asked})[0] + body.base


def leaves(body: Body) -> int:
    assert isinstance(body.part, Ensemble)
    return trees.leaves(body.part)


def test_the_first_trees_of_a_boosted_ensemble_say_what_the_library_says_of_them(
    boosted: Any, matrix: Any
) -> None:
    body = estimators.body(boosted)
    for count, staged in enumerate(boosted.staged_predict(matrix), 1):
        if count in (1, 7, 30):
            kept = trees.keep_first(body, count, averaged=False)
            np.testing.assert_allclose(sums(kept, matrix)[:, 0], staged)


def test_fewer_trees_of_a_forest_are_averaged_again(matrix: Any, truth: Any) -> None:
    forest = RandomForestRegressor(n_estimators=12, random_state=0).fit(matrix, truth)
    kept = trees.keep_first(estimators.body(forest), 5, averaged=True)
    single = matrix.astype(np.float32)
    expected = np.mean([grown.predict(single) for grown in forest.estimators_[:5]], axis=0)
    np.testing.assert_allclose(sums(kept, matrix)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0.75, 0.5, 0.1])
def test_as_many_leaves_are_left_as_were_asked_for(boosted: Any, matrix: Any, share: float) -> None:
    body = estimators.body(boosted)
    merged = trees.merge_leaves(body, matrix, share)
    assert leaves(merged) == max(int(leaves(body) * share), 30)
    assert np.isfinite(sums(merged, matrix)).all()


def test_of_all_leaves_every_tree_keeps_one_which_says_the_mean_of_its_rows(
    boosted: Any, matrix: Any
) -> None:
    body = estimators.body(boosted)
    merged = trees.merge_leaves(body, matrix, 1e-9)
    assert leaves(merged) == 30
    np.testing.assert_allclose(sums(merged, matrix)[:, 0], sums(body, matrix).mean(), rtol=1e-9)


def test_the_leaves_that_tell_least_go_first(matrix: Any) -> None:
    """A tree of four leaves in two pairs: the pair that is closer together by Ward's criterion is merged."""
    nan = np.zeros(7, dtype=bool)
    tree = estimators.Tree(
        feature=np.array([0, 1, 1, 0, 0, 0, 0]),
        threshold=np.zeros(7),
        left=np.array([1, 3, 5, 0, 0, 0, 0]),
        right=np.array([2, 4, 6, 0, 0, 0, 0]),
        missing_left=nan,
        leaf=np.array([False, False, False, True, True, True, True]),
        values=np.array([[0.0], [0.0], [0.0], [1.0], [1.1], [5.0], [9.0]]),
    )
    body = Body(Ensemble((tree,)), np.zeros(1), Link.IDENTITY)
    merged = trees.merge_leaves(body, matrix, 0.75)
    assert isinstance(merged.part, Ensemble)
    values = sorted(merged.part.trees[0].values[merged.part.trees[0].leaf, 0].tolist())
    assert len(values) == 3
    assert values[1:] == [5.0, 9.0]
    assert 1.0 < values[0] < 1.1


def test_leaves_that_are_left_take_over_what_merged_ones_told(boosted: Any, matrix: Any) -> None:
    body = estimators.body(boosted)
    said = sums(body, matrix)
    merged = trees.merge_leaves(body, matrix, 0.4)
    settled = trees.settle(merged, matrix, said)
    assert leaves(settled) == leaves(merged)
    before, after = (np.square(sums(item, matrix) - said).mean() for item in (merged, settled))
    assert after < before / 2


def test_forests_of_classes_stay_near_and_their_shares_sum_to_one(matrix: Any, truth: Any) -> None:
    classes = np.digitize(truth, [-1, 1])
    forest = RandomForestClassifier(n_estimators=8, min_samples_leaf=3, random_state=0).fit(matrix, classes)
    body = estimators.body(forest)
    merged = trees.merge_leaves(body, matrix, 0.3)
    np.testing.assert_allclose(sums(merged, matrix).sum(axis=1), 1, atol=1e-6)
    settled = sums(trees.settle(merged, matrix, sums(body, matrix)), matrix)
    np.testing.assert_allclose(settled.sum(axis=1), 1, atol=0.05)


@pytest.mark.parametrize("strict", [False, True])
def test_thresholds_in_32_bits_part_every_value_of_32_bits_as_before(strict: bool) -> None:
    rng = np.random.default_rng(0)
    thresholds = np.concatenate(
        [rng.normal(size=500), [0.0, 1.0, -1.0, 1e-40, 1e30, 0.1, np.nextafter(1, 2)]]
    )
    rounded = graphs.round_thresholds(thresholds, strict=strict)
    assert rounded.dtype == np.float32
    near = np.concatenate(
        [rounded, np.nextafter(rounded, np.float32(np.inf)), np.nextafter(rounded, np.float32(-np.inf))]
    )
    for threshold, single in zip(thresholds, rounded, strict=True):
        exact = near.astype(np.float64) < threshold if strict else near.astype(np.float64) <= threshold
        narrow = near < single if strict else near <= single
        np.testing.assert_array_equal(exact, narrow)


def test_a_graph_in_32_bits_is_smaller_and_says_the_same_of_such_values(boosted: Any, matrix: Any) -> None:
    body, narrow = estimators.body(boosted), matrix.astype(np.float32)
    found = sums(body, narrow, single=True)
    np.testing.assert_allclose(found, sums(body, narrow.astype(np.float64)), rtol=1e-5, atol=1e-5)
    sizes = [len(graphs.graph(body.part, 4, 1, single=single)) for single in (True, False)]
    assert sizes[0] < 0.85 * sizes[1]
