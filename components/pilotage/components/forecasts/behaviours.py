"""Curves that nothing is said of: short, flat, rising, peaking, dipping, noisy, or falling ever faster.

What is normal is a loss that falls with more rows, and falls ever less. Mohr et al. (2022) and Yan et al.
(2025) found how often curves do otherwise; a forecast of one would be a guess in the dress of a number.
"""

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
_CLEAR_PEAK = 5.0
"""The same of a rise that the curve has come down from: it misleads less than one that lasts."""
_LEAST_RISE = 0.004
"""A rise below this share of the span matters to nobody."""
_SURPRISE = 3.0
"""Half widths of the interval that the backtest may be off by."""
_NORMAL = 1.4826
"""Standard deviation of normal noise for each unit of its median absolute value."""
_FEWEST_BENDS = 6
"""Groups of four neighbours from which on their noise is told apart from a bend."""
_RECENT_POINTS = 6
"""Latest points whose noise counts for a forecast."""
_OUT_OF_STEP = 1.5
"""Times the noise of a thinned curve, from which on that of the points left out counts in its place."""
_NOISIEST = 0.25
"""Share of the whole fall that the noise may be."""
_FASTER = 1.5
"""Times the fall of the octave before, that the latest octave's may be."""
_FASTER_NOISE = 8.0
"""Standard deviations of a point beyond that: the difference of two falls has more than three."""


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
    off = _off_bend(curve)  # a bend is no noise that would explain a rise
    straight = float(np.median(off) * _NORMAL) if len(off) >= _FEWEST_BENDS else noise
    rise = _largest_rise(curve, min(noise, straight))
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
    noise = max(noise, recent_noise(curve))
    if noise > _NOISIEST * fall:
        return Verdict(
            "noisy",
            f"the points scatter by {noise:.2g}, more than {_NOISIEST:.0%} of the whole fall of {fall:.2g};"
            " average more repeats",
        )
    return _falling_faster(curve)


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
    """How far a typical point is from a smooth course; a course that bends is told from it only roughly.

    Standard errors, where they are known, bound it.
    """
    found = float(np.median(_off_course(curve)) * _NORMAL)
    if curve.stderr is not None and (curve.stderr > 0).any():
        found = min(found, float(np.median(curve.stderr)))
    return found


def recent_noise(curve: Curve) -> float:
    """The same of the latest points, as a root of the mean square without the largest tenth."""
    off = np.sort(_off_course(curve)[-round(_RECENT_POINTS * _thinning(curve)) :])
    found = float(np.sqrt(np.mean(off[: max(1, int(np.ceil(0.9 * len(off))))] ** 2)))
    return curve.scatter if curve.scatter > _OUT_OF_STEP * found else found


def scatter(curve: Curve) -> float:
    """How far a typical one of the latest points of a dense curve is from those next to it.

    They share rows, so that it is less than the noise of points farther apart, unless the curve goes to and
    fro between these.
    """
    latest = round(_RECENT_POINTS * curve.density)
    return float(np.median(_off_course(curve, 1)[-latest:]) * _NORMAL)


def _off_course(curve: Curve, step: int | None = None) -> Floats:
    """Distance of each point to the line through its neighbours, in units of one point's noise.

    Neighbours are half an octave away or more where no `step` is given: nearer ones share most rows, and
    with them their noise.
    """
    step = step or _thinning(curve)
    x, y = np.log(curve.n), curve.loss
    before, here, after = (slice(0, -2 * step), slice(step, -step), slice(2 * step, None))
    share = (x[here] - x[before]) / (x[after] - x[before])
    off = y[here] - (1 - share) * y[before] - share * y[after]
    return np.asarray(np.abs(off) / np.sqrt(1 + share**2 + (1 - share) ** 2))


def _off_bend(curve: Curve) -> Floats:
    """How far four neighbours are from a parabola, in units of one point's noise: no bend explains it."""
    step = _thinning(curve)
    count = max(len(curve.n) - 3 * step, 0)
    parts = [slice(place * step, place * step + count) for place in range(4)]
    x = np.log(np.stack([curve.n[part] for part in parts]))
    y = np.stack([curve.loss[part] for part in parts])
    others = [[other for other in range(4) if other != place] for place in range(4)]
    weights = np.stack([1 / np.prod(x[place] - x[rest], axis=0) for place, rest in enumerate(others)])
    return np.asarray(np.abs((weights * y).sum(axis=0)) / np.sqrt((weights**2).sum(axis=0)))


def _thinning(curve: Curve) -> int:
    """How many places away a neighbour is that is half an octave away."""
    return int(np.clip(round(curve.density), 1, max((len(curve.n) - 1) // 4, 1)))


def _falling_faster(curve: Curve) -> Verdict | None:
    """A fall that grows from octave to octave: where it will end, no point says."""
    ends = curve.largest / np.array([1.0, 2.0, 4.0])
    if ends[-1] < curve.n[0]:
        return None
    now, before, earlier = np.interp(np.log(ends), np.log(curve.n), curve.loss)
    latest, previous = float(before - now), float(earlier - before)
    noise = max(noise_of(curve), 0.001 * curve.span)
    if latest <= _FASTER * max(previous, 0.0) + _FASTER_NOISE * noise:
        return None
    return Verdict(
        "accelerating",
        f"the loss falls ever faster, by {previous:.2g} and then by {latest:.2g} in the last two doublings:"
        " it has not begun to settle",
    )


def _largest_rise(curve: Curve, noise: float) -> Verdict | None:
    """The rise between any two points that is farthest beyond chance."""
    errors = np.full(len(curve.n), noise)
    lowest = np.minimum.accumulate(curve.loss)
    place = int(np.argmax(curve.loss - lowest))
    start = int(np.argmin(curve.loss[: place + 1]))
    rise = float(curve.loss[place] - curve.loss[start])
    falls_again = float(curve.loss[place] - curve.loss[-1]) > rise / 2
    clear = _CLEAR_PEAK if falls_again else _CLEAR
    chance = np.sqrt(2 * np.log(max(len(curve.n), 2))) + clear - 1
    limit = max(chance * float(np.hypot(errors[start], errors[place])) / np.sqrt(2), _LEAST_RISE * curve.span)
    if rise <= limit:
        return None
    kind = "peaking" if falls_again else "rising" if start == 0 else "dipping"
    return Verdict(
        kind,
        f"the loss rises from {curve.loss[start]:.3g} at {curve.n[start]:,.0f} to {curve.loss[place]:.3g} at"
        f" {curve.n[place]:,.0f}, which noise does not explain: the curve is {kind}",
    )
