"""The scaling law L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022) fitted to points.

As Besiroglu et al. (2024) found it to work: the Huber loss (delta 1e-3) of log residuals, summed, as the log
of a sum of exponentials with its gradient, scaled so that the optimizer does not stop early, from many
starts. Two things are added. Starts come from linear least squares over a grid of exponents, which finds the
basin at once. And points that lie off the law by far more than the others are found by least trimmed squares
and set aside, as the authors did by eye: outliers at the edge of the design would bend the law and look
innocent then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, nnls

from pilotage.components.forecasts.intervals import Interval

Floats = npt.NDArray[np.float64]

NAMES = ("E", "A", "B", "alpha", "beta")
LEVEL = 0.95
"""Of the parameters' intervals."""
FEWEST_POINTS = 12
FEWEST_VALUES = 3
"""Different model sizes, and different amounts of data."""
_TIED_BELOW = 50
"""Points below which one exponent is fitted for both, unless two are clearly better."""
_BOUNDS = (0.05, 1.5)
"""What an exponent can be; a fit that ends there has found none."""
_DELTA = 1e-3
_SCALE = 1e3
_RESAMPLES = 300
_EXPONENTS = np.geomspace(0.08, 1.4, 14)
_TRIMMED = 0.1
"""Share of the points that may be set aside."""
_FAR = 6.0
"""Standard deviations from which a point is set aside."""
_LARGEST_RESIDUAL = 0.05
"""Typical relative residual beyond which the points follow no such law."""


@dataclass(frozen=True)
class Law:
    """A fitted law."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, n: npt.ArrayLike, d: npt.ArrayLike) -> Floats:
        """The loss of models of size `n` on `d` examples."""
        sizes, data = np.asarray(n, float), np.asarray(d, float)
        return np.asarray(self.E + self.A / sizes**self.alpha + self.B / data**self.beta)


@dataclass(frozen=True)
class Fit:
    """A law with what is known of it; `refused` says why there is none."""

    law: Law | None
    parameters: dict[str, Interval]
    resampled: tuple[Law, ...]
    """Laws fitted to resampled points."""
    set_aside: tuple[int, ...]
    """Places of points that lie far off."""
    tied: bool
    """Whether one exponent was fitted for both."""
    residual: float
    """Median of the absolute log residuals of the points that were used."""
    refused: str = ""


def fit(
    n: npt.ArrayLike, d: npt.ArrayLike, loss: npt.ArrayLike, *, seed: int = 0, resamples: int = _RESAMPLES
) -> Fit:
    """Fit the law to losses of models of size `n` trained on `d` examples; all positive, of one length."""
    points = _Points(*(np.log(np.asarray(part, float)) for part in (n, d, loss)))
    why = _too_few(points)
    if why:
        return refusal(why)
    rng = np.random.default_rng(seed)
    kept, tied = _without_outliers(points, rng)
    aside = tuple(int(place) for place in np.flatnonzero(~kept))
    used = points.take(kept)
    best = _best(used, tied=tied)
    residual = float(np.median(np.abs(used.residuals(best))))
    why = _unlike_a_law(used, best, residual, kept)
    if why:
        return refusal(why, aside)
    drawn = [
        _polish(used.take(rng.integers(len(used.loss), size=len(used.loss))), best, tied=tied)
        for _ in range(resamples)
    ]
    laws = tuple(used.law(found) for found in drawn)
    law = used.law(best)
    why = _undetermined(laws)
    if why:
        return refusal(why, aside)
    parameters = {name: _interval(name, law, laws) for name in NAMES}
    return Fit(law, parameters, laws, aside, tied, residual)


def predict(found: Fit, n: float, d: float, level: float = 0.8) -> Interval:
    """The loss at one size and amount of data, with the spread of the resampled laws and of the residuals."""
    if found.law is None:
        raise ValueError("there is no law to predict by")
    rng = np.random.default_rng(1)
    losses = np.array([float(law.loss(n, d)) for law in found.resampled])
    losses = losses * np.exp(rng.normal(0.0, 1.4826 * found.residual, len(losses)))
    low, high = np.quantile(losses, [(1 - level) / 2, (1 + level) / 2])
    value = float(found.law.loss(n, d))
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


@dataclass(frozen=True)
class _Points:
    """Logarithms of sizes, data and losses."""

    n: Floats
    d: Floats
    loss: Floats
    centre: tuple[float, float] | None = None
    """What is taken off sizes and data, so that factors and exponents do not move together."""

    @property
    def centres(self) -> tuple[float, float]:
        return self.centre or (float(self.n.mean()), float(self.d.mean()))

    def take(self, which: Any) -> _Points:
        return _Points(self.n[which], self.d[which], self.loss[which], self.centres)

    def terms(self, found: Floats) -> Floats:
        """Logs of the three terms, of the vector (a, b, e, alpha, beta) around the centres."""
        (n0, d0), (a, b, e, alpha, beta) = self.centres, found
        return np.stack([a - alpha * (self.n - n0), b - beta * (self.d - d0), np.full_like(self.n, e)])

    def residuals(self, found: Floats) -> Floats:
        return np.asarray(np.logaddexp.reduce(self.terms(found), axis=0) - self.loss)

    def law(self, found: Floats) -> Law:
        (n0, d0), (a, b, e, alpha, beta) = self.centres, found
        return Law(
            E=float(np.exp(e)),
            A=float(np.exp(a + alpha * n0)),
            B=float(np.exp(b + beta * d0)),
            alpha=float(alpha),
            beta=float(beta),
        )


def _objective(found: Floats, points: _Points, tied: bool) -> tuple[float, Floats]:
    """The summed Huber loss of the log residuals, and its gradient."""
    whole = np.append(found, found[3]) if tied else found
    terms = points.terms(whole)
    total = np.logaddexp.reduce(terms, axis=0)
    residuals = total - points.loss
    small = np.abs(residuals) <= _DELTA
    value = np.where(small, residuals**2 / 2, _DELTA * (np.abs(residuals) - _DELTA / 2)).sum()
    slope = np.clip(residuals, -_DELTA, _DELTA)
    share = np.exp(terms - total) * slope
    n0, d0 = points.centres
    gradient = np.array(
        [*share.sum(axis=1), -(share[0] * (points.n - n0)).sum(), -(share[1] * (points.d - d0)).sum()]
    )
    if tied:
        gradient = np.append(gradient[:3], gradient[3] + gradient[4])
    return float(value) * _SCALE / _DELTA, gradient * _SCALE / _DELTA


def _polish(points: _Points, start: Floats, *, tied: bool) -> Floats:
    """The minimum near `start`."""
    first = np.append(start[:3], (start[3] + start[4]) / 2) if tied else start
    bounds = [(-50.0, 50.0)] * 3 + [_BOUNDS] * (1 if tied else 2)
    found = minimize(
        _objective,
        first,
        args=(points, tied),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-8},
    ).x
    return np.append(found, found[3]) if tied else np.asarray(found)


def _best(points: _Points, *, tied: bool, starts: int = 10) -> Floats:
    """The lowest minimum from the best starts."""
    found = [_polish(points, start, tied=tied) for start in _starts(points, tied, starts)]
    return min(found, key=lambda one: _value(points, one))


def _value(points: _Points, found: Floats) -> float:
    return _objective(found, points, False)[0]


def _starts(points: _Points, tied: bool, most: int) -> list[Floats]:
    """Least squares of the relative residuals for each pair of exponents: linear in E, A and B."""
    n0, d0 = points.centres
    weight = np.exp(-points.loss)
    found: list[tuple[float, Floats]] = []
    for alpha in _EXPONENTS:
        for beta in [alpha] if tied else _EXPONENTS:
            columns = np.exp([-alpha * (points.n - n0), -beta * (points.d - d0), np.zeros_like(points.n)])
            factors, distance = nnls((columns * weight).T, np.ones_like(weight))
            logs = np.log(np.maximum(factors, 1e-8))
            found.append((distance, np.array([*logs, alpha, beta])))
    found.sort(key=lambda one: one[0])
    return [start for _, start in found[:most]]


def _without_outliers(points: _Points, rng: np.random.Generator) -> tuple[npt.NDArray[np.bool_], bool]:
    """Which points follow the law of the others, and whether one exponent is enough for them."""
    total = len(points.loss)
    tied = total < _TIED_BELOW
    found = _trimmed(points, rng, tied=tied)
    kept = _near(points, found)
    if tied:
        tied = not _is_clearly_better(points.take(kept))
        if not tied:
            kept = _near(points, _trimmed(points, rng, tied=False))
    for _ in range(3):
        again = _near(points, _best(points.take(kept), tied=tied, starts=3))
        if (again == kept).all():
            break
        kept = again
    return kept, tied


def _is_clearly_better(points: _Points) -> bool:
    """Whether two exponents explain the points better than one, by the Bayesian information criterion."""
    count = len(points.loss)
    spreads = [
        float(np.mean(np.abs(points.residuals(_best(points, tied=tied)))) + 1e-9) for tied in (True, False)
    ]
    return bool(2 * count * np.log(spreads[0] / spreads[1]) > np.log(count) + 6.0)


def _trimmed(points: _Points, rng: np.random.Generator, *, tied: bool) -> Floats:
    """The fit that is best on its own best 90 % of the points: least trimmed absolute residuals."""
    total = len(points.loss)
    most = int(np.ceil((1 - _TRIMMED) * total))
    subset = min(total, max(15, total // 10))
    best, lowest = np.zeros(5), np.inf
    for draw in range(8):
        which = np.arange(total) if draw == 0 else rng.choice(total, subset, replace=False)
        found = _best(points.take(which), tied=tied, starts=2)
        for _ in range(4):
            order = np.argsort(np.abs(points.residuals(found)))[:most]
            found = _polish(points.take(order), found, tied=tied)
        value = float(np.sort(np.abs(points.residuals(found)))[:most].sum())
        if value < lowest:
            best, lowest = found, value
    return best


def _near(points: _Points, found: Floats) -> npt.NDArray[np.bool_]:
    """Which points are near the law; never fewer than 90 % of them."""
    off = np.abs(points.residuals(found))
    limit = max(_FAR * 1.4826 * float(np.median(off)), 1e-6)
    most = int(np.floor(_TRIMMED * len(off)))
    far = np.argsort(off)[::-1][:most]
    kept = np.ones(len(off), bool)
    kept[far[off[far] > limit]] = False
    return kept


def _too_few(points: _Points) -> str:
    total = len(points.loss)
    if total < FEWEST_POINTS:
        return f"{total} points are too few to fit five parameters; at least {FEWEST_POINTS} are needed"
    for name, values in (("n", points.n), ("d", points.d)):
        different = len(np.unique(np.round(values, 3)))
        if different < FEWEST_VALUES:
            return f"`{name}` has {different} different values; at least {FEWEST_VALUES} are needed"
    if abs(np.corrcoef(points.n, points.d)[0, 1]) > 0.995:
        return "`n` and `d` grow together, so that their effects cannot be told apart"
    return ""


def _unlike_a_law(points: _Points, best: Floats, residual: float, kept: npt.NDArray[np.bool_]) -> str:
    if residual > _LARGEST_RESIDUAL:
        return (
            f"the points follow no such law: the typical residual is {residual:.0%} of the loss, more than"
            f" {_LARGEST_RESIDUAL:.0%}"
        )
    spread = float(np.abs(points.loss - np.median(points.loss)).mean())
    if np.abs(points.residuals(best)).mean() > 0.5 * spread:
        return (
            "the losses do not depend on `n` and `d` as the law says: it explains less than half of their"
            " spread"
        )
    for name, value in zip(("alpha", "beta"), best[3:], strict=True):
        if not _BOUNDS[0] * 1.02 < value < _BOUNDS[1] * 0.98:
            return f"`{name}` cannot be determined: the fit ends at {value:.2g}, the edge of what it can be"
    if not kept.any():
        return "no point is left"
    return ""


def _undetermined(laws: Sequence[Law]) -> str:
    for name in ("alpha", "beta"):
        values = np.array([getattr(law, name) for law in laws])
        low, high = np.quantile(values, [0.1, 0.9])
        if high > 4 * low:
            return f"`{name}` cannot be determined: resampled points give from {low:.2g} to {high:.2g}"
    return ""


def _interval(name: str, law: Law, laws: Sequence[Law]) -> Interval:
    values = np.array([getattr(one, name) for one in laws])
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(getattr(law, name))
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def refusal(why: str, aside: tuple[int, ...] = ()) -> Fit:
    """No law, and why."""
    return Fit(None, {}, (), aside, False, float("nan"), why)
