"""One test over all features together, which also sees what no single column shows.

A classifier is asked to tell the window's rows from the reference's (Lopez-Paz and Oquab,
2017; Rabanser, Günnemann and Lipton, 2019). The statistic is the area under its ROC curve:
each half of the rows is ranked by a classifier fitted on the other half (Hediger, Michel
and Näf, 2022). Given that classifier, a half's ranks are those of independent rows, so its
null distribution is Mann and Whitney's (1947). The halves are not independent of each
other: where the classifiers are alike both say the same. So the mean of their normal
scores is held against a standard normal, whose spread it cannot exceed. What tells the
rows apart is found by shuffling columns (Breiman, 2001).

Rows are taken as independent. Those of one week of traffic are not quite, so a small
p-value says that the window differs from the reference, not that it differs by more than
windows usually do: the area says how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special, stats

from pilotage.core.artifacts import Feature, Multivariate
from pilotage.serving.monitor.rows import domains, matrices
from pilotage.serving.monitor.rows.matrices import Matrices, Numbers

LEAST_ROWS = 50
"""Of either side, for there to be a test."""
MOST_ROWS = 2_000
"""Of either side, that are looked at."""
MOST_NAMED = 5
_LEAST_DROP = 0.005
"""Of the area, when a feature is shuffled, for it to be named."""

_Marks = npt.NDArray[np.bool_]


def test(reference: pa.Table, window: pa.Table, features: Sequence[Feature], *, seed: int) -> Multivariate:
    """Whether the rows of two samples come from one distribution.

    Args:
        reference: in the layout of `pilotage.core.samples`.
        window: likewise.
        features: of the model.
        seed: of the split and the classifiers.
    """
    held, served = (matrices.canonical(side).slice(0, MOST_ROWS) for side in (reference, window))
    rows = served.num_rows
    if min(held.num_rows, rows) < LEAST_ROWS:
        few = f"{held.num_rows} reference rows and {rows} of the window; {LEAST_ROWS} of each are needed"
        return Multivariate(auc=None, p_value=None, rows=rows, reason=few)
    pair = matrices.build(held, served, features)
    together, domain = domains.stacked(pair)
    if not together.shape[1]:
        return Multivariate(auc=None, p_value=None, rows=rows, reason="no feature has a value")
    with domains.one_thread():
        return _tested(pair, together, domain, seed)


def _tested(pair: Matrices, together: Numbers, domain: _Marks, seed: int) -> Multivariate:
    half = domains.folds_of(domain, seed, 2)
    areas, scores, drops = [], [], np.zeros(together.shape[1])
    generator = np.random.default_rng(seed)
    for number in range(2):
        inside = half != number
        fitted = domains.classifier(seed, int(inside.sum())).fit(together[inside], domain[inside])
        rows, truth = together[~inside], domain[~inside]
        area, score = area_of(fitted.predict_proba(rows)[:, 1], truth)
        areas.append(area)
        scores.append(score)
        drops += _drops(fitted, rows, truth, area, generator) / 2
    kept = ~np.isnan(np.vstack([pair.reference, pair.window])).all(axis=0)
    return Multivariate(
        auc=float(np.mean(areas)),
        p_value=float(special.ndtr(-np.mean(scores))),
        rows=len(pair.window),
        features=_named(np.array(pair.names)[kept], drops),
    )


def area_of(chance: Numbers, domain: _Marks) -> tuple[float, float]:
    """The area under the ROC curve, and its normal score under the null with the correction for ties."""
    ranks = stats.rankdata(chance)
    m, n = int(domain.sum()), int((~domain).sum())
    area = (ranks[domain].sum() - m * (m + 1) / 2) / (m * n)
    _, ties = np.unique(chance, return_counts=True)
    total = m + n
    variance = (total + 1 - (ties**3 - ties).sum() / (total * (total - 1))) / (12 * m * n)
    return float(area), float((area - 0.5) / np.sqrt(variance)) if variance > 0 else 0.0


def _drops(fitted: Any, rows: Numbers, truth: _Marks, area: float, generator: np.random.Generator) -> Numbers:
    """How much of the area goes when each column is shuffled, shape `(columns,)`."""
    found = np.empty(rows.shape[1])
    for column in range(rows.shape[1]):
        shuffled = rows.copy()
        shuffled[:, column] = generator.permutation(shuffled[:, column])
        found[column] = area - area_of(fitted.predict_proba(shuffled)[:, 1], truth)[0]
    return found


def _named(names: npt.NDArray[np.str_], drops: Numbers) -> tuple[str, ...]:
    order = np.argsort(-drops, kind="stable")
    telling = [str(names[column]) for column in order if drops[column] >= _LEAST_DROP]
    return tuple(dict.fromkeys(telling))[:MOST_NAMED]
