"""The correlation that the readiness of a pilot rests on, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pilotage.pipelines.readiness.judges.models import correlation


@pytest.mark.parametrize("slope", [2.0, 0.1, -1.0])
def test_it_and_its_interval_are_those_of_scipy(slope: float) -> None:
    random = np.random.default_rng(0)
    xs = random.normal(size=12)
    ys = slope * xs + random.normal(size=12)
    wanted = stats.pearsonr(xs, ys)
    found = correlation(list(zip(xs.tolist(), ys.tolist(), strict=True)))
    assert found == pytest.approx((wanted.statistic, wanted.confidence_interval(0.95).low))


@pytest.mark.parametrize(("slope", "found"), [(0.0, 0.0), (3.0, 1.0), (-3.0, -1.0)])
def test_numbers_on_a_line_have_no_interval_and_a_constant_no_correlation(slope: float, found: float) -> None:
    pairs = [(0.1 * place, slope * 0.1 * place + 1.0) for place in range(9)]
    value, low = correlation(pairs)
    assert value == pytest.approx(found)
    assert low < 0 if not slope else low == pytest.approx(value)
