"""The scaling law is found again where it is known, outliers are set aside, what has no law is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pilotage.components.forecasts import laws
from pilotage.components.forecasts.laws import Law

PUBLISHED = Law(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
"""Besiroglu et al. (2024)."""
BUDGETS = (6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21)
"""FLOPs of the runs of Hoffmann et al. (2022); 6 n d of them."""


def simulated(seed: int, *, bad: int = 0) -> tuple[Any, Any, Any]:
    """Runs along lines of equal compute, with heavy-tailed noise; `bad` of them are far too high."""
    rng = np.random.default_rng(seed)
    compute = np.repeat(BUDGETS, 26)
    n = np.clip(np.sqrt(compute / 120) * np.exp(rng.uniform(-1.6, 1.6, len(compute))), 5e7, 2e10)
    d = compute / 6 / n
    loss = PUBLISHED.loss(n, d) * np.exp(0.005 * rng.standard_t(4, len(n)))
    far_n, far_d = np.linspace(2e9, 7e9, bad), np.linspace(8e8, 2.4e8, bad)
    far = PUBLISHED.loss(far_n, far_d) * np.linspace(1.07, 1.35, bad)
    return np.append(n, far_n), np.append(d, far_d), np.append(loss, far)


def grid(sizes: int = 5, data: int = 5) -> tuple[Any, Any]:
    n, d = np.meshgrid(np.geomspace(1e6, 1e9, sizes), np.geomspace(1e8, 1e11, data))
    return n.ravel(), d.ravel()


def test_the_published_law_is_found_again_in_points_like_those_it_was_fitted_to():
    found = laws.fit(*simulated(3), resamples=100)
    assert found.law is not None
    assert not found.tied
    for name in laws.NAMES:
        bounds = found.parameters[name]
        assert bounds.low <= getattr(PUBLISHED, name) <= bounds.high, (name, bounds)
        assert bounds.low <= bounds.value <= bounds.high


def test_outliers_of_little_data_do_not_bend_the_law():
    n, d, loss = simulated(3, bad=5)
    found = laws.fit(n, d, loss, resamples=60)
    assert set(found.set_aside) >= set(range(len(n) - 5, len(n)))
    assert len(found.set_aside) <= 10
    assert found.law is not None
    assert found.law.beta == pytest.approx(PUBLISHED.beta, abs=0.03)
    assert pytest.approx(PUBLISHED.E, abs=0.06) == found.law.E


def test_exact_points_give_their_law():
    n, d = grid()
    found = laws.fit(n, d, PUBLISHED.loss(n, d), resamples=20)
    assert found.law is not None
    assert not found.set_aside
    for name in laws.NAMES:
        assert getattr(found.law, name) == pytest.approx(getattr(PUBLISHED, name), rel=0.03), name


def test_the_law_does_not_depend_on_units():
    n, d = grid()
    rng = np.random.default_rng(0)
    loss = PUBLISHED.loss(n, d) * np.exp(0.002 * rng.normal(size=len(n)))
    one, other = laws.fit(n, d, loss, resamples=10), laws.fit(n / 1e6, d / 1e9, loss, resamples=10)
    assert one.law is not None
    assert other.law is not None
    assert one.law.alpha == pytest.approx(other.law.alpha, rel=0.02)
    assert one.law.beta == pytest.approx(other.law.beta, rel=0.02)
    assert pytest.approx(other.law.E, rel=0.01) == one.law.E


def test_a_prediction_beyond_the_points_holds_what_is_true():
    found = laws.fit(*simulated(5), resamples=60)
    expected = laws.predict(found, 7e10, 1.4e12)
    assert expected.low <= float(PUBLISHED.loss(7e10, 1.4e12)) <= expected.high
    assert expected.high - expected.low < 0.2


def test_few_points_are_fitted_with_one_exponent():
    n, d = grid(4, 4)
    rng = np.random.default_rng(1)
    loss = (0.2 + 30 / n**0.3 + 30 / d**0.3) * np.exp(0.01 * rng.normal(size=len(n)))
    found = laws.fit(n, d, loss, resamples=20)
    if found.law is not None:
        assert found.tied
        assert found.law.alpha == found.law.beta


@pytest.mark.parametrize(
    ("points", "why"),
    [
        pytest.param(([1e6] * 5, [1e8] * 5, [3.0] * 5), "too few", id="few"),
        pytest.param(
            ([1e6] * 14, np.geomspace(1e8, 1e10, 14), [3.0] * 14), "`n` has 1 different", id="one-n"
        ),
        pytest.param(
            (np.geomspace(1e6, 1e9, 14), np.geomspace(1e8, 1e11, 14), np.linspace(4, 2, 14)),
            "grow together",
            id="together",
        ),
        pytest.param((*grid(), np.full(25, 2.0)), "edge|do not depend|cannot be determined", id="flat"),
        pytest.param(
            (*grid(), np.exp(np.random.default_rng(0).normal(size=25))),
            "no such law|do not depend",
            id="noise",
        ),
        pytest.param((*grid(), 1 + grid()[1] / 1e10), "no such law|do not depend|edge", id="rising"),
    ],
)
def test_what_has_no_law_is_refused(points: Any, why: str):
    found = laws.fit(*points, resamples=20)
    assert found.law is None
    assert not found.parameters
    import re

    assert re.search(why, found.refused), found.refused
