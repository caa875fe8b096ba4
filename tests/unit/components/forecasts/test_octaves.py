"""The last octaves go on by shares of what they fell, never up, and count by how well they told the last."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pilotage.components.forecasts import behaviours, curves, octaves
from pilotage.components.forecasts.curves import Curve, Mean

SIZES = 16 * 2 ** (np.arange(13) / 2)


def test_a_curve_is_followed_between_its_points_and_falls_on_by_shares_of_its_latest_falls():
    losses = np.interp(np.arange(13), [0, 8, 10, 12], [0.5, 0.3, 0.2, 0.16])
    assert octaves.go_on(SIZES, losses, float(SIZES[4])) == pytest.approx(losses[4])
    doubled = octaves.go_on(SIZES, losses, 2 * float(SIZES[-1]))
    assert doubled == pytest.approx(0.16 - 0.41 * 0.04 - 0.13 * 0.1)
    factors = np.geomspace(1.0, 16.0, 30)
    values = [octaves.go_on(SIZES, losses, float(SIZES[-1] * factor)) for factor in factors]
    assert values[0] == pytest.approx(0.16)
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))


def test_a_curve_that_has_settled_stays():
    assert octaves.go_on(SIZES, np.full(13, 0.2), 16 * float(SIZES[-1])) == pytest.approx(0.2)


def test_what_told_the_last_octave_better_counts_for_more():
    exact = Mean(Curve(SIZES, 0.1 + 1.2 * SIZES**-0.5))
    broken = Mean(Curve(SIZES, np.where(SIZES > 256, 0.25 - 0.02 * np.log2(SIZES / 256), 0.25 + 4 / SIZES)))
    assert exact.octaves_share < 0.4
    assert broken.octaves_share > 0.5


def test_a_peak_needs_more_evidence_than_a_rise_that_lasts():
    losses = 0.1 + 1.2 * SIZES**-0.5 + np.where(np.arange(13) % 2, 0.003, -0.003)
    rise = 0.024
    peak, lasting = losses.copy(), losses.copy()
    peak[6] = losses[:6].min() + rise
    lasting[7:] = losses[:7].min() + rise
    assert behaviours.judge(Curve(SIZES, peak)) is None
    found = curves.forecast(Curve(SIZES, lasting))
    assert found.behaviour == "dipping"
