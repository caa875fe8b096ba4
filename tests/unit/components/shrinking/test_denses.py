"""Matrices in 8 bits: how near they stay, and that only one way makes a row depend on its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pilotage.components.compilation import graphs
from pilotage.components.compilation.estimators import Linear
from pilotage.components.shrinking import denses
from pilotage.core import errors
from pilotage.core.forms.sessions import open_session

RNG = np.random.default_rng(1)
FIRST, OFFSET = RNG.normal(size=(12, 24)), RNG.normal(size=24)
SECOND, SHIFT = RNG.normal(size=(24, 4)), RNG.normal(size=4)
ROWS = RNG.normal(size=(300, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def graph() -> bytes:
    return denses.network(FIRST, OFFSET, SECOND, SHIFT)


def ask(graph: bytes, rows: Any) -> Any:
    return open_session(graph).run(None, {"x": rows})[0]


def test_a_network_is_its_formula(graph: bytes) -> None:
    expected = np.maximum(ROWS @ FIRST + OFFSET, 0) @ SECOND + SHIFT
    np.testing.assert_allclose(ask(graph, ROWS), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", ["weights", "static", "dynamic"])
def test_eight_bits_are_smaller_and_near(graph: bytes, how: str) -> None:
    made = {
        "weights": denses.int8_weights,
        "static": lambda graph: denses.int8_static(graph, ROWS.astype(np.float64)),
        "dynamic": denses.int8_dynamic,
    }[how](graph)
    before, after = ask(graph, ROWS), ask(made, ROWS)
    assert np.isfinite(after).all()
    assert np.abs(after - before).max() < 0.08 * np.abs(before).max()
    assert np.abs(after - before).max() > 0


def test_with_enough_weights_eight_bits_take_a_quarter() -> None:
    wide = denses.network(RNG.normal(size=(64, 128)), np.zeros(128), RNG.normal(size=(128, 8)), np.zeros(8))
    assert len(denses.int8_weights(wide)) < 0.3 * len(wide)


@pytest.mark.parametrize(("how", "depends"), [("weights", False), ("static", False), ("dynamic", True)])
def test_only_dynamic_scales_make_a_row_depend_on_its_neighbours(
    graph: bytes, how: str, depends: bool
) -> None:
    made = {
        "weights": denses.int8_weights,
        "static": lambda graph: denses.int8_static(graph, ROWS.astype(np.float64)),
        "dynamic": denses.int8_dynamic,
    }[how](graph)
    loud = ROWS[:8].copy()
    loud[1:] *= 30
    apart = np.abs(ask(made, loud)[:1] - ask(made, loud[:1])).max()
    assert bool(apart > 1e-3) is depends


def test_what_multiplies_with_nothing_worth_it_is_refused() -> None:
    small = graphs.graph(Linear(np.ones((3, 1))), 3, 1, single=True)
    assert not denses.has_products(small)
    with pytest.raises(errors.EstimatorError, match="no matrix in 32 bits"):
        denses.int8_weights(small)
