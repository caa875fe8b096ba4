"""What a classification metric is expected to be when each row's truth is only a chance.

A confusion matrix is expected cell by cell, and a metric of it is that of the expected
matrix (CBPE; Białek, Kuberski, Perrakis and Bifet, 2023); losses are means; an area under
a curve is that over pairs or ranks of different rows, each weighted by its chances. So a
metric that is not linear in the truth is a ratio of expectations, which its own
expectation approaches with the number of rows. Chances are made elsewhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from sklearn.metrics import get_scorer

from pilotage.serving.monitor.performance import performances
from pilotage.serving.monitor.performance.outcomes import Outcomes
from pilotage.serving.monitor.rows.matrices import Numbers

CURVES = frozenset({"roc_auc", "average_precision"})
"""Of the positive one of two classes."""
AREAS = frozenset({"roc_auc_ovr", "roc_auc_ovr_weighted", "roc_auc_ovo", "roc_auc_ovo_weighted"})
LOSSES = frozenset({"neg_log_loss", "neg_brier_score"})


@dataclass(frozen=True)
class Answers:
    """What a version said of `n` rows."""

    predictions: Numbers
    """Positions of the classes, shape `(n,)`."""
    score: Numbers
    probabilities: Numbers | None
    """Shape `(n, classes)`, in the order of the positions."""

    @property
    def ranking(self) -> Numbers:
        """What rows are ranked by for the positive one of two classes."""
        return self.score if self.probabilities is None else self.probabilities[:, 1]


def expected(metric: str, answers: Answers, chances: Numbers, weights: Numbers) -> float:
    """The expected value of scikit-learn's scorer `metric`; NaN where it has none.

    Args:
        metric: one of `pilotage.core.metrics.CLASSIFICATION`.
        answers: of the rows.
        chances: of the classes to be true, shape `(n, classes)`.
        weights: how often each row counts, shape `(n,)`.
    """
    probabilities = answers.probabilities
    if metric in CURVES:
        curve = area if metric == "roc_auc" else average_precision
        return curve(answers.ranking, weights * chances[:, 1], weights * chances[:, 0], weights)
    if metric in AREAS or metric in LOSSES:
        if probabilities is None:
            return float("nan")
        rule = _areas if metric in AREAS else _loss
        return rule(metric, probabilities, chances, weights)
    return _of_confusion(metric, answers.predictions, chances, weights)


def area(scores: Numbers, positive: Numbers, negative: Numbers, weights: Numbers) -> float:
    """The expected area under the ROC curve over pairs of different rows.

    Args:
        scores: shape `(n,)`.
        positive: weight of each row times its chance to be positive.
        negative: likewise of being negative.
        weights: of the rows, to take out pairs of a row with itself.
    """
    _, place = np.unique(scores, return_inverse=True)
    ones, zeros = np.bincount(place, positive), np.bincount(place, negative)
    below = np.cumsum(zeros) - zeros
    itself = np.divide(positive * negative, weights, out=np.zeros(len(scores)), where=weights > 0).sum()
    pairs = positive.sum() * negative.sum() - itself
    if pairs <= 1e-12:
        return float("nan")
    return float((ones @ (below + zeros / 2) - itself / 2) / pairs)


def average_precision(scores: Numbers, positive: Numbers, negative: Numbers, _: Numbers) -> float:
    """The precision at each score, weighted by the share of positives that it adds."""
    _, place = np.unique(-scores, return_inverse=True)
    ones, zeros = np.bincount(place, positive), np.bincount(place, negative)
    if ones.sum() <= 1e-12:
        return float("nan")
    found, all_found = np.cumsum(ones), np.cumsum(ones + zeros)
    precision = np.divide(found, all_found, out=np.zeros(len(found)), where=all_found > 0)
    return float(ones @ precision / ones.sum())


def _areas(metric: str, probabilities: Numbers, chances: Numbers, weights: Numbers) -> float:
    """Of several classes, each against the rest or against each other (Hand and Till, 2001)."""
    shares = weights @ chances
    classes = range(chances.shape[1])
    if "ovr" in metric:
        found = [
            area(probabilities[:, k], weights * chances[:, k], weights * (1 - chances[:, k]), weights)
            for k in classes
        ]
        heavy = shares
    else:
        pairs = list(permutations(classes, 2))
        found = [
            area(probabilities[:, a], weights * chances[:, a], weights * chances[:, b], weights)
            for a, b in pairs
        ]
        heavy = np.array([shares[a] + shares[b] for a, b in pairs])
    return float(np.average(found, weights=heavy if "weighted" in metric else None))


def _loss(metric: str, probabilities: Numbers, chances: Numbers, weights: Numbers) -> float:
    if metric == "neg_log_loss":
        tiny = np.finfo(np.float64).eps
        losses = -(chances * np.log(np.clip(probabilities, tiny, 1 - tiny))).sum(axis=1)
    else:
        told = probabilities[:, 1]
        losses = chances[:, 1] * (1 - told) ** 2 + chances[:, 0] * told**2
    return -float(np.average(losses, weights=weights))


def _of_confusion(metric: str, predictions: Numbers, chances: Numbers, weights: Numbers) -> float:
    """The metric of the expected confusion matrix, asked of scikit-learn one row a cell."""
    classes = chances.shape[1]
    told = np.eye(classes)[predictions.astype(np.intp)]
    matrix = (chances * weights[:, None]).T @ told
    if metric.endswith("likelihood_ratio"):
        return _likelihood_ratio(metric, matrix)
    cells = matrix.ravel()
    truth, said = np.divmod(np.arange(classes**2), classes)
    kept = cells > 0
    record = performances.recorded(
        Outcomes(
            logged=0,
            truth=truth[kept].astype(float),
            predictions=said[kept].astype(float),
            score=said[kept].astype(float),
            probabilities=None,
            unusable=0,
        ),
        metric,
        classes,
    )
    scorer: Callable[..., float] = get_scorer(metric)
    rows = np.arange(int(kept.sum()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class that is never said or never true
            return float(scorer(record, rows, truth[kept].astype(float), sample_weight=cells[kept]))
    except ValueError:
        return float("nan")


def _likelihood_ratio(metric: str, matrix: Numbers) -> float:
    """Of two classes, from the confusion matrix: truth in rows; scikit-learn's takes no weights."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found, false = matrix[1, 1] / matrix[1].sum(), matrix[0, 1] / matrix[0].sum()
        ratio = found / false if metric == "positive_likelihood_ratio" else -(1 - found) / (1 - false)
    return float(ratio) if np.isfinite(ratio) else float("nan")
