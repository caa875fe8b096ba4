"""Forecasts of learning curves: the loss on more rows than were tried, with an interval, or a refusal.

The centre is the mean over all candidates of all families, each weighted by how well it fits (model
averaging), and over how the last octaves go on (see `octaves`), weighted by how well each would have told the
last octave. The interval is that centre plus multiples of a scale: how far candidates that fit differ, how
noisy the points are, and how much the curve still falls. The multiples were calibrated on curves of real
tables by split-conformal prediction (see `calibrations`), since what the families themselves say covers far
too little. Curves that are not of the kind that was calibrated on are refused (see `behaviours`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.forecasts import behaviours, calibrations, families, octaves
from pilotage.components.forecasts.intervals import Interval

Floats = npt.NDArray[np.float64]

LEVEL = 0.8
FACTORS = (2.0, 5.0, 10.0)
"""Times the largest size, that are forecast unless others are asked for."""
FARTHEST = 16.0
"""Times the largest size, beyond which nothing is said."""
ONLY_INTERVAL = 8.0
"""Times the largest size, beyond which the middle of the interval means little."""
_RECENT = 1.5
"""Power of the size that a point's weight grows with: large sizes say more about larger ones."""
_FLOOR = 0.003
"""Noise that the mean of any number of trainings has, as a share of the range of the losses."""
_LEAST_NOISE = 0.001
"""Share of the range of the losses that it is chance to be off by."""
_HIDDEN = 1.9
"""Sizes above the largest over this are hidden to look back."""
_GRID = 60
_DENSE = 1.25
"""Density from which on points are left out."""
_APART = 2**0.44
"""Times the next size: half an octave, less what rounding takes of small sizes."""


@dataclass(frozen=True)
class Curve:
    """Mean losses at different sizes, ascending."""

    n: Floats
    loss: Floats
    stderr: Floats | None = None
    """Of the means, or None where it is not known."""
    scatter: float = 0.0
    """Noise of a point among nearer ones that were left out."""

    @property
    def largest(self) -> float:
        return float(self.n[-1])

    @property
    def density(self) -> float:
        """Points for each of two an octave, at least 1: points that are closer share rows, and noise."""
        octaves = float(np.log2(self.largest / self.n[0])) if len(self.n) > 1 else 1.0
        return max(1.0, (len(self.n) - 1) / max(2 * octaves, 1e-9))

    @property
    def span(self) -> float:
        """What is large for such a loss: 1 for a rate, else the largest loss."""
        top = float(self.loss.max())
        return 1.0 if top <= 1.0 else top

    @property
    def thinned(self) -> Curve:
        """Points half an octave apart or more, from the largest down; itself where that leaves too few.

        Nearer points share most of their rows, and so their noise: many of them are no more evidence, and
        what is calibrated holds for half octaves.
        """
        if self.density < _DENSE:
            return self
        places = [len(self.n) - 1]
        for place in range(len(self.n) - 2, -1, -1):
            if self.n[place] * _APART <= self.n[places[-1]]:
                places.append(place)
        if len(places) < behaviours.FEWEST_SIZES:
            return self
        return replace(self.take(np.array(places[::-1])), scatter=behaviours.scatter(self))

    def until(self, size: float) -> Curve:
        """The part up to `size`."""
        return self.take(self.n <= size)

    def take(self, kept: npt.NDArray[Any]) -> Curve:
        """Some of its points."""
        stderr = None if self.stderr is None else self.stderr[kept]
        return Curve(self.n[kept], self.loss[kept], stderr, self.scatter)


@dataclass(frozen=True)
class Predicted:
    """The loss at one size."""

    n: float
    factor: float
    """Times the largest size that was tried."""
    loss: Interval


@dataclass(frozen=True)
class Backtest:
    """What the smaller sizes would have said of the largest one."""

    n: float
    """The size that was hidden."""
    known_until: float
    loss: Interval
    actual: float

    @property
    def inside(self) -> bool:
        return self.loss.low <= self.actual <= self.loss.high


@dataclass(frozen=True)
class Forecast:
    """What is said of a curve; with `refused` nothing is."""

    curve: Curve
    predicted: tuple[Predicted, ...] = ()
    refused: str = ""
    behaviour: str = ""
    """A word for why, such as `rising`."""
    backtest: Backtest | None = None
    shares: dict[str, float] = field(default_factory=dict)
    """Weight of each family in the mean."""
    floor: Interval | None = None
    """Where the curve leads, with any number of rows."""
    drawn: tuple[Predicted, ...] = ()
    """The whole curve, for a plot."""


def gather(n: npt.ArrayLike, loss: npt.ArrayLike, stderr: npt.ArrayLike | None = None) -> Curve:
    """One point a size, ascending: repeats of a size are averaged, and give its standard error."""
    sizes, losses = np.asarray(n, float), np.asarray(loss, float)
    different, place, count = np.unique(sizes, return_inverse=True, return_counts=True)
    mean = np.bincount(place, losses) / count
    if stderr is not None:
        squares = np.bincount(place, np.asarray(stderr, float) ** 2)
        return Curve(different, mean, np.sqrt(squares) / count)
    freedom = len(sizes) - len(different)
    if freedom < len(different):
        return Curve(different, mean)
    squares = np.bincount(place, (losses - mean[place]) ** 2)
    pooled = squares.sum() / freedom
    own = (squares + pooled) / count  # one more degree of freedom, of all sizes together
    return Curve(different, mean, np.sqrt(own / count))


def forecast(curve: Curve, at: Sequence[float] = (), factors: Sequence[float] = FACTORS) -> Forecast:
    """The loss at `factors` times the largest size and at the sizes `at`, or why there is none."""
    first, curve = curve.n[0], curve.thinned
    verdict = behaviours.judge(curve)
    if verdict is not None:
        return Forecast(curve, refused=verdict.why, behaviour=verdict.kind)
    backtest = look_back(curve)
    verdict = behaviours.judge_backtest(curve, backtest)
    if verdict is not None:
        return Forecast(curve, refused=verdict.why, behaviour=verdict.kind, backtest=backtest)
    mean = Mean(curve)
    sizes = sorted({*(curve.largest * factor for factor in factors), *at})
    predicted = tuple(predict(mean, size) for size in sizes if size <= FARTHEST * curve.largest * 1.001)
    grid = np.geomspace(first, FARTHEST * curve.largest, _GRID)
    return Forecast(
        curve,
        predicted,
        backtest=backtest,
        shares=mean.shares,
        floor=mean.floor,
        drawn=tuple(predict(mean, float(size)) for size in grid),
    )


class Mean:
    """All candidates, weighted by how well they fit a curve."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve
        shapes = families.shapes(curve.n, curve.n[0])
        self._lines = families.fit(shapes.at, curve.loss, weights_of(curve) / curve.density)
        self.names = shapes.families
        freedom = max(len(curve.n) / curve.density - 3, 1)
        floor = _FLOOR * curve.span
        self.noise = float(np.sqrt(self._lines.distance.min() / freedom + floor**2))
        """Standard deviation of the points around the best candidate, at the largest size."""
        fit = shapes.prior * np.exp(
            -0.5 * (self._lines.distance - self._lines.distance.min()) / self.noise**2
        )
        self.share: Floats = fit / fit.sum()

    def at(self, size: float) -> tuple[float, float]:
        """Mean and standard deviation over candidates, of which how the last octaves go on is one."""
        values = np.append(self._values(size), octaves.go_on(self.curve.n, self._falling, size))
        weights = np.append((1 - self.octaves_share) * self.share, self.octaves_share)
        mean = float(weights @ values)
        return mean, float(np.sqrt(weights @ (values - mean) ** 2))

    def _values(self, size: float) -> Floats:
        """What each candidate of the families says."""
        shape = families.shapes([size], self.curve.n[0]).at[:, 0]
        return self._lines.a + self._lines.c * shape

    @cached_property
    def _falling(self) -> Floats:
        return behaviours.falling(self.curve)

    @cached_property
    def octaves_share(self) -> float:
        """Weight of how the last octaves go on: how much better than the families it told the last octave."""
        known = self.curve.until(self.curve.largest / _HIDDEN)
        if len(known.n) < behaviours.FEWEST_SIZES:
            return 0.5
        earlier, last = Mean(known), float(self.curve.loss[-1])
        mean = float(earlier.share @ earlier._values(self.curve.largest))
        gone_on = octaves.go_on(known.n, earlier._falling, self.curve.largest)
        chance = max(self.local_noise, _LEAST_NOISE * self.curve.span) ** 2
        misses = (mean - last) ** 2 + chance, (gone_on - last) ** 2 + chance
        return misses[0] / sum(misses)

    @cached_property
    def local_noise(self) -> float:
        """How far the latest points are from a smooth course."""
        return behaviours.recent_noise(self.curve)

    @cached_property
    def here(self) -> float:
        """The curve's mean at the largest size."""
        return self.at(self.curve.largest)[0]

    @property
    def shares(self) -> dict[str, float]:
        """Weight by family."""
        return {
            name: float(
                sum(share for share, other in zip(self.share, self.names, strict=True) if other == name)
            )
            for name in dict.fromkeys(self.names)
        }

    @property
    def floor(self) -> Interval:
        """Where the candidates lead."""
        order = np.argsort(self._lines.a)
        mass = np.cumsum(self.share[order])
        low, high = (float(self._lines.a[order][np.searchsorted(mass, q)]) for q in (0.1, 0.9))
        value = float(self.share @ self._lines.a)
        return Interval(value, min(low, value), max(high, value))


def noise(curve: Curve) -> float:
    """Standard deviation of a point around the course of the curve."""
    return Mean(curve).noise


def weights_of(curve: Curve) -> Floats:
    """How much each point counts; 1 at the largest size."""
    weights: Floats = (curve.n / curve.largest) ** _RECENT
    if curve.stderr is not None and (curve.stderr > 0).any():
        typical = float(
            np.median(curve.stderr[curve.stderr > 0])
        )  # 0 of few trainings that agreed is no promise
        weights = weights**0.5 * (2 * typical**2) / (curve.stderr**2 + typical**2)
    return np.asarray(weights / weights[-1])


def predict(mean: Mean, size: float) -> Predicted:
    """The loss at one size, with its interval."""
    factor = size / mean.curve.largest
    value, spread = mean.at(size)
    signs = calibrations.Signs(
        spread=spread,
        noise=mean.local_noise,
        fall=abs(mean.here - value),
        span=mean.curve.span,
        points=len(mean.curve.n) / mean.curve.density,
    )
    half = calibrations.half_width(signs, factor)
    return Predicted(size, factor, Interval(value, max(value - half, 0.0), value + half))


def look_back(curve: Curve) -> Backtest | None:
    """Hide the sizes from half the largest on, and forecast the largest."""
    known = curve.until(curve.largest / _HIDDEN)
    if len(known.n) < behaviours.FEWEST_SIZES:
        return None
    found = predict(Mean(known), curve.largest)
    return Backtest(curve.largest, known.largest, found.loss, float(curve.loss[-1]))


def reach(found: Forecast, target: float) -> tuple[float | None, float | None, float | None]:
    """Rows at which the loss comes down to `target`: by the middle, the low and the high bound of the
    interval.

    None where it does not within FARTHEST times the largest size.
    """

    def first(bound: str) -> float | None:
        sizes = np.array([point.n for point in found.drawn])
        losses = np.minimum.accumulate([getattr(point.loss, bound) for point in found.drawn])
        beyond = np.flatnonzero((losses <= target) & (sizes >= found.curve.largest))
        return float(sizes[beyond[0]]) if len(beyond) else None

    return first("value"), first("low"), first("high")
