"""A classifier that tells the window's rows from the reference's: how alike they are, and weights.

Every row is judged by a classifier that was not fitted on it (cross-fitting), so the
chances are honest, and a logistic curve takes out what they exaggerate (Platt, 1999): where
nothing tells the rows apart all weights come out alike. They give the density ratio by
Bayes' rule (Bickel, Brückner and Scheffer, 2009), that weights reference rows to resemble
the window. What the weights are for is not known here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.serving.monitor.performance import curves
from pilotage.serving.monitor.performance.curves import Shape
from pilotage.serving.monitor.rows.matrices import Matrices, Numbers

FOLDS = 3
LEAST_COVERED = 0.5
"""Share of the window that the reference covers, from which weights are taken in full."""
LEAST_EFFECTIVE = 500.0
"""Likewise, effective rows of the reference."""
_ROUNDS, _LEAVES, _LEAST_IN_LEAF = 40, 8, 20
_LEAST_CHANCE = 1e-4


@dataclass(frozen=True)
class Weights:
    """Of the reference's rows, so that together they resemble the window."""

    values: Numbers
    """Shape `(n,)`, mean 1."""
    effective_rows: float
    """Kish's (1965) effective sample size times the covered share, before any flattening."""
    covered: float
    """Share of the window's rows, roughly, that have their like in the reference: the mean raw ratio."""
    full: bool
    """False where the reference covers too little, and each weight is flattened to its square root."""


def one_thread() -> AbstractContextManager[Any]:
    """While it is open, trees are fitted and asked on one thread.

    With so few rows more threads gain little, and on a busy machine each waits, running, for the others.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def classifier(seed: int, rows: int) -> Any:
    """Small boosted trees, which need no scaling and take missing values as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=_ROUNDS,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=min(_LEAST_IN_LEAF, max(rows // 20, 1)),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )


def folds_of(domain: npt.NDArray[np.bool_], seed: int, folds: int = FOLDS) -> npt.NDArray[np.intp]:
    """A fold for each row, drawn so that every fold has its part of both domains."""
    generator = np.random.default_rng(seed)
    fold = np.empty(len(domain), dtype=np.intp)
    for side in (False, True):
        rows = np.flatnonzero(domain == side)
        fold[generator.permutation(rows)] = np.arange(len(rows)) % folds
    return fold


def stacked(matrices: Matrices) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """All rows, the reference's first, and whether each is the window's; columns without any value go."""
    together = np.vstack([matrices.reference, matrices.window])
    domain = np.arange(len(together)) >= len(matrices.reference)
    return together[:, ~np.isnan(together).all(axis=0)], domain


def chances(matrices: Matrices, seed: int) -> Numbers:
    """Out of fold: how likely each row is to be the window's, the reference's rows first."""
    together, domain = stacked(matrices)
    if not together.shape[1]:
        return np.full(len(domain), domain.mean())
    fold, found = folds_of(domain, seed), np.empty(len(domain))
    for number in range(FOLDS):
        inside = fold != number
        model = classifier(seed, int(inside.sum()))
        with one_thread():
            model.fit(together[inside], domain[inside])
            found[~inside] = model.predict_proba(together[~inside])[:, 1]
    return found


def _ratios(told: Numbers, before: int, after: int) -> Numbers:
    """Density ratios of the reference's rows, from chances that are at most as bold as they were told."""
    domain = np.arange(before + after) >= before
    curve = curves.fit(Shape.LOGISTIC, told, domain.astype(float), np.ones(before + after))
    odds = [_log_odds(side[:before]) for side in (told, curve(told))]
    meekest = min(odds, key=lambda side: float(side.std()))
    ratios: Numbers = np.exp(meekest) * (before / after)
    return ratios


def _log_odds(chance: Numbers) -> Numbers:
    inside = np.clip(chance, _LEAST_CHANCE, 1 - _LEAST_CHANCE)
    odds: Numbers = np.log(inside / (1 - inside))
    return odds


def weights(matrices: Matrices, seed: int) -> Weights:
    """Density-ratio weights of the reference's rows; all 1 where a side has fewer rows than folds.

    Where the reference covers little of the window a few rows would decide alone: weights are then
    flattened (Shimodaira, 2000).
    """
    before, after = len(matrices.reference), len(matrices.window)
    if min(before, after) < FOLDS:
        return Weights(np.ones(before), float(before), 1.0, full=True)
    ratio = _ratios(chances(matrices, seed), before, after)
    covered = min(1.0, float(ratio.mean()))
    kish = float(ratio.sum() ** 2 / (ratio**2).sum())
    full = covered >= LEAST_COVERED and kish * covered >= LEAST_EFFECTIVE
    flattened = ratio if full else np.sqrt(ratio)
    return Weights(flattened / flattened.mean(), kish * covered, covered, full)
