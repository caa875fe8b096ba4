"""Curves that nothing is said of: too short, flat, rising, peaking, dipping, noisy, or that surprised once
already.

What is normal is a loss that falls with more rows, and falls ever less. Mohr et al. (2022) and Yan et al.
(2025) found how often curves do otherwise; a forecast of one would be a guess in the dress of a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pilotage.components.forecasts.curves import Backtest, Curve

Floats = npt.NDArray[np.float64]

FEWEST_SIZES = 5
LEAST_RANGE = 4.0
"""The largest size is at least so many times the smallest."""
_CLEAR = 3.0
"""Standard errors that a rise, or a fall, is more than chance from."""
_LEAST_RISE = 0.004
"""A rise below this share of the span matters to nobody."""
_SURPRISE = 3.0
"""Half widths of the interval that the backtest may be off by."""
_NOISIEST = 0.35
"""Share of the whole fall that the noise may be."""


@dataclass(frozen=True)
class Verdict:
    """Why nothing is said."""

    kind: str
    why: str


def judge(curve: Curve) -> Verdict | None:
    """Why nothing can be said of a curve, or None."""
    if len(curve.n) < FEWEST_SIZES:
        return Verdict(
            "short",
            f"{len(curve.n)} different sizes are too few; at least {FEWEST_SIZES} are needed",
        )
    if curve.n[-1] < LEAST_RANGE * curve.n[0]:
        return Verdict(
            "short",
            f"the largest size is {curve.n[-1] / curve.n[0]:.2g} times the smallest; at least"
            f" {LEAST_RANGE:g} times is needed",
        )
    noise = noise_of(curve)
    smooth = falling(curve)
    rise = _largest_rise(curve, noise)
    if rise is not None:
        return rise
    fall = float(smooth[0] - smooth[-1])
    error = noise * np.sqrt(2.0)
    if fall < max(2.0 * error, 1e-12):
        return Verdict(
            "flat",
            f"the loss does not fall by more than its noise ({noise:.2g}) from {curve.n[0]:,.0f} to"
            f" {curve.n[-1]:,.0f}, so that there is no course to go on with",
        )
    if noise > _NOISIEST * fall:
        return Verdict(
            "noisy",
            f"the points scatter by {noise:.2g}, more than {_NOISIEST:.0%} of the whole fall of {fall:.2g};"
            " average more repeats",
        )
    return None


def judge_backtest(curve: Curve, backtest: Backtest | None) -> Verdict | None:
    """Whether the curve surprised those who knew its smaller sizes."""
    if backtest is None:
        return None
    off = backtest.actual - backtest.loss.value
    bound = backtest.loss.high if off > 0 else backtest.loss.low
    half = abs(bound - backtest.loss.value)
    if half > 0 and abs(off) > _SURPRISE * half:
        return Verdict(
            "surprising",
            f"the sizes up to {backtest.known_until:,.0f} would have forecast {backtest.loss.value:.3g}"
            f" ({backtest.loss.low:.3g} to {backtest.loss.high:.3g}) at {backtest.n:,.0f}, and it is"
            f" {backtest.actual:.3g}: the course has changed",
        )
    return None


def falling(curve: Curve) -> Floats:
    """The closest curve that never rises (isotonic regression by pooling adjacent violators)."""
    values: list[float] = []
    counts: list[int] = []
    for loss in curve.loss:
        values.append(float(loss))
        counts.append(1)
        while len(values) > 1 and values[-2] < values[-1]:
            value, count = values.pop(), counts.pop()
            values[-1] = (values[-1] * counts[-1] + value * count) / (counts[-1] + count)
            counts[-1] += count
    return np.repeat(values, counts)


def noise_of(curve: Curve) -> float:
    """How far a point is from a smooth course: from each point's distance to the line through its neighbours.

    A course that bends is told from noise only roughly; standard errors, where they are known, bound it.
    """
    x, y = np.log(curve.n), curve.loss
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    off = y[1:-1] - (1 - share) * y[:-2] - share * y[2:]
    unit = np.sqrt(1 + share**2 + (1 - share) ** 2)
    found = float(np.median(np.abs(off / unit)) * 1.4826)
    if curve.stderr is not None and (curve.stderr > 0).any():
        found = min(found, float(np.median(curve.stderr)))
    return found


def _largest_rise(curve: Curve, noise: float) -> Verdict | None:
    """The rise between any two points that is farthest beyond chance."""
    errors = np.full(len(curve.n), noise)
    lowest = np.minimum.accumulate(curve.loss)
    place = int(np.argmax(curve.loss - lowest))
    start = int(np.argmin(curve.loss[: place + 1]))
    rise = float(curve.loss[place] - curve.loss[start])
    chance = np.sqrt(2 * np.log(max(len(curve.n), 2))) + _CLEAR - 1
    limit = max(chance * float(np.hypot(errors[start], errors[place])) / np.sqrt(2), _LEAST_RISE * curve.span)
    if rise <= limit:
        return None
    falls_again = float(curve.loss[place] - curve.loss[-1]) > rise / 2
    kind = "peaking" if falls_again else "rising" if start == 0 else "dipping"
    return Verdict(
        kind,
        f"the loss rises from {curve.loss[start]:.3g} at {curve.n[start]:,.0f} to {curve.loss[place]:.3g} at"
        f" {curve.n[place]:,.0f}, which noise does not explain: the curve is {kind}",
    )
