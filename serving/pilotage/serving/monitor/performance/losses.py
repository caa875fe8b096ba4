"""Direct loss estimation: a regression metric from how large the model's errors use to be for such rows.

Boosted trees learn each reference row's loss from its features and its prediction, and
are asked about the window's rows (DLE, as NannyML calls it; the idea of a model of the
error is older: Wolpert, 1992). Each part of the reference is judged by trees fitted on the
others, and what they miss there on average is made up for. The error adds the spread of
the window's rows, that of what the trees miss, and the delete-a-group jackknife over the
fits (Kott, 2001). Trees do not extrapolate: losses beyond any seen are never estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from pilotage.serving.monitor.rows import domains
from pilotage.serving.monitor.rows.matrices import Numbers

FOLDS = 5
_ROUNDS, _LEAVES, _LEAST_IN_LEAF = 40, 6, 20

_Loss = Callable[[Numbers, Numbers], Numbers]


def _squared(truth: Numbers, told: Numbers) -> Numbers:
    return (truth - told) ** 2


def _absolute(truth: Numbers, told: Numbers) -> Numbers:
    return np.abs(truth - told)


def _percentage(truth: Numbers, told: Numbers) -> Numbers:
    return np.abs(truth - told) / np.maximum(np.abs(truth), np.finfo(np.float64).eps)


def _squared_log(truth: Numbers, told: Numbers) -> Numbers:
    return _squared(np.log1p(truth), np.log1p(told))


def _poisson(truth: Numbers, told: Numbers) -> Numbers:
    found: Numbers = 2 * (special.xlogy(truth, truth / told) - truth + told)
    return found


def _gamma(truth: Numbers, told: Numbers) -> Numbers:
    found: Numbers = 2 * (np.log(told / truth) + truth / told - 1)
    return found


_LOSSES: dict[str, _Loss] = {
    "explained_variance": _squared,
    "neg_mean_absolute_error": _absolute,
    "neg_mean_absolute_percentage_error": _percentage,
    "neg_mean_gamma_deviance": _gamma,
    "neg_mean_poisson_deviance": _poisson,
    "neg_mean_squared_error": _squared,
    "neg_mean_squared_log_error": _squared_log,
    "neg_root_mean_squared_error": _squared,
    "neg_root_mean_squared_log_error": _squared_log,
    "r2": _squared,
}
METRICS = frozenset(_LOSSES)
"""Those that are made of means over rows."""
_VARIANCES = frozenset({"explained_variance", "r2"})
_ROOTS = frozenset({"neg_root_mean_squared_error", "neg_root_mean_squared_log_error"})


@dataclass(frozen=True)
class Losses:
    """What is known of both samples' losses; `n` rows of reference and `m` of window."""

    metric: str
    losses: Numbers
    """Of the reference, shape `(n,)`."""
    expected: Numbers
    """Out of fold, of the reference, shape `(n,)`."""
    window: Numbers
    """By each fold's trees, of the window, shape `(FOLDS, m)`."""
    bias: Numbers
    """Expected truth minus prediction of the window's rows, shape `(m,)`; 0 where it is not needed."""
    told: Numbers
    """Predictions of the window, shape `(m,)`."""
    reference_truth: Numbers
    reference_told: Numbers

    def value(self) -> float:
        """The metric of the window."""
        return self._of(self._scale() * float(self.window.mean()))

    def weighted(self, weights: Numbers) -> float:
        """The metric of the reference's rows with `weights`, shape `(n,)`."""
        loss = float(np.average(self.losses, weights=weights))
        if self.metric not in _VARIANCES:
            return self._of(loss)
        truth, told = self.reference_truth, self.reference_told
        centre = float(np.average(truth, weights=weights))
        spread = float(np.average((truth - centre) ** 2, weights=weights))
        return self._share(loss, float(np.average(truth - told, weights=weights)), spread)

    def error(self) -> float:
        """The standard error of `value`."""
        scale, mean = self._scale(), float(self.window.mean())
        of_rows = self.window.mean(axis=0).std() / np.sqrt(self.window.shape[1])
        of_misses = (self.losses - scale * self.expected).std() / np.sqrt(len(self.losses))
        by_fold = self.window.mean(axis=1)
        of_fits = np.sqrt((FOLDS - 1) / FOLDS * ((by_fold - by_fold.mean()) ** 2).sum())
        error = float(np.sqrt((scale * of_rows) ** 2 + of_misses**2 + (scale * of_fits) ** 2))
        step = max(error, 1e-12 * max(abs(mean), 1e-300))
        high, low = self._of(scale * mean + step), self._of(max(scale * mean - step, 0.0))
        return abs(high - low) / 2 if error else 0.0

    def _scale(self) -> float:
        """What the trees' losses have to be multiplied with to be right on average in the reference."""
        expected = float(self.expected.mean())
        return float(self.losses.mean()) / expected if expected > 0 else 1.0

    def _of(self, loss: float) -> float:
        """The metric when the mean loss of the window is `loss`."""
        if self.metric in _VARIANCES:
            centre = self.told + self.bias
            spread = float(centre.var() + max(loss - float((self.bias**2).mean()), 0.0))
            return self._share(loss, float(self.bias.mean()), spread)
        return -float(np.sqrt(loss)) if self.metric in _ROOTS else -loss

    def _share(self, loss: float, bias: float, spread: float) -> float:
        if spread <= 0:
            return float("nan")
        return 1 - (loss - (bias**2 if self.metric == "explained_variance" else 0.0)) / spread


def undefined(metric: str, truth: Numbers, told: Numbers) -> str:
    """Why the metric is not defined for these rows, or nothing."""
    if "squared_log" in metric and min(truth.min(), told.min()) <= -1:
        return f"{metric} is not defined for values of -1 or less"
    if "deviance" in metric and (
        told.min() <= 0 or truth.min() < 0 or ("gamma" in metric and not truth.min())
    ):
        return f"{metric} is not defined for values that are not positive"
    return ""


def prepare(
    metric: str, rows: Numbers, truth: Numbers, told: Numbers, asked: Numbers, said: Numbers, seed: int
) -> Losses:
    """Fit the trees.

    Args:
        metric: one of `METRICS`.
        rows: features of the reference, shape `(n, columns)`.
        truth: of the reference, shape `(n,)`.
        told: predictions of the reference, shape `(n,)`.
        asked: features of the window, shape `(m, columns)`.
        said: predictions of the window, shape `(m,)`.
        seed: of folds and trees.
    """
    losses = _LOSSES[metric](truth, told)
    seen, unseen = np.column_stack([rows, told]), np.column_stack([asked, said])
    known = ~np.isnan(seen).all(axis=0)
    seen, unseen = seen[:, known], unseen[:, known]
    expected, window = _cross_fitted(seen, losses, unseen, seed, "poisson")
    bias = np.zeros(len(said))
    if metric in _VARIANCES:
        bias = _cross_fitted(seen, truth - told, unseen, seed, "squared_error")[1].mean(axis=0)
    return Losses(metric, losses, expected, window, bias, said, truth, told)


def _cross_fitted(
    seen: Numbers, losses: Numbers, unseen: Numbers, seed: int, loss: str
) -> tuple[Numbers, Numbers]:
    """Out of fold for the rows seen, shape `(n,)`; by each fold's trees for the others, `(FOLDS, m)`."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    fold: npt.NDArray[np.intp] = np.random.default_rng(seed).permutation(np.arange(len(seen)) % FOLDS)
    expected, window = np.empty(len(seen)), np.empty((FOLDS, len(unseen)))
    scale = float(np.abs(losses).mean()) or 1.0
    with domains.one_thread():
        for number in range(FOLDS):
            inside = fold != number
            if not losses[inside].any():
                expected[~inside], window[number] = 0.0, 0.0
                continue
            trees = HistGradientBoostingRegressor(
                loss=loss,
                max_iter=_ROUNDS,
                max_leaf_nodes=_LEAVES,
                min_samples_leaf=_LEAST_IN_LEAF,
                l2_regularization=1.0,
                early_stopping=False,
                random_state=seed,
            ).fit(seen[inside], losses[inside] / scale)
            expected[~inside] = trees.predict(seen[~inside]) * scale
            window[number] = trees.predict(unseen) * scale
    return expected, window
