"""Models that are a graph: stored without pickle, sound as estimators, and not to be fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from pilotage.components.compilation import graphs
from pilotage.components.compilation.estimators import Linear
from pilotage.core import errors, models
from pilotage.core.artifacts import Link
from pilotage.core.graph_models import GraphClassifier, GraphRegressor

ROWS = np.random.default_rng(0).normal(size=(50, 3))


def graph(outputs: int, *, single: bool = False) -> Any:
    weights = np.arange(3.0 * outputs).reshape(3, outputs) / 3
    made = graphs.graph(Linear(weights), 3, outputs, single=single)
    return np.frombuffer(made, dtype=np.uint8)


@pytest.mark.parametrize("link", [Link.LOGISTIC, Link.SOFTMAX])
@pytest.mark.parametrize("single", [False, True])
def test_probabilities_are_some(link: Link, single: bool) -> None:
    outputs = 1 if link is Link.LOGISTIC else 3
    classes = np.array(["a", "b", "c"][: max(outputs, 2)], dtype=object)
    model = GraphClassifier(graph(outputs, single=single), np.ones(outputs), str(link), False, classes)
    found = model.predict_proba(ROWS * 1000)
    assert found.shape == (50, len(classes))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert ((found >= 0) & (found <= 1)).all()
    assert set(model.predict(ROWS)) <= set(classes)


def test_a_regressor_undoes_its_logarithm() -> None:
    plain = GraphRegressor(graph(1), np.ones(1), str(Link.IDENTITY))
    logs = GraphRegressor(graph(1), np.ones(1), str(Link.EXP))
    np.testing.assert_allclose(np.exp(plain.predict(ROWS)), logs.predict(ROWS))


def test_skops_holds_it_with_types_that_are_trusted_here_even_after_it_was_asked(tmp_path: Path) -> None:
    model = GraphClassifier(
        graph(1), np.zeros(1), str(Link.LOGISTIC), False, np.array(["n", "y"], dtype=object)
    )
    before = model.predict_proba(ROWS)
    skops.io.dump(model, tmp_path / "model.skops")
    untrusted = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    assert set(untrusted) <= set(models.TRUSTED_TYPES)
    found = skops.io.load(tmp_path / "model.skops", trusted=list(models.TRUSTED_TYPES))
    np.testing.assert_array_equal(found.predict_proba(ROWS), before)


def test_it_cannot_be_fitted() -> None:
    with pytest.raises(errors.EstimatorError, match="cannot be fitted"):
        GraphRegressor(graph(1), np.zeros(1), str(Link.IDENTITY)).fit(ROWS, ROWS[:, 0])
