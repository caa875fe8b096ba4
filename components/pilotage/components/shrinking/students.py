"""Small models that learn what a version says of its training rows (Hinton, Vinyals and Dean, 2015).

They learn its sums before the link, which tell more than classes do. The truth is not looked
at, and neither are the held-out rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from pilotage.components.compilation import estimators as tables
from pilotage.components.compilation.estimators import Body, Ensemble
from pilotage.components.shrinking import denses
from pilotage.components.shrinking.sources import Source
from pilotage.components.training import encodings
from pilotage.core import errors

MOST_ROWS = 50_000
"""Training rows that a student learns from; of more, as many drawn at equal distances."""
MOST_OUTPUTS = 20
"""Of a student of trees, which grows some for each."""
_ITERATIONS = 60


@dataclass(frozen=True)
class Student:
    """What has learnt."""

    encode: Any
    """Its own fitted encoding."""
    graph: bytes = b""
    """Of a network, whose outputs are sums."""
    body: Body | None = None
    """Of trees."""


def network(source: Source, neurons: int) -> Student:
    """A network with one hidden layer of `neurons`.

    Raises:
        EstimatorError: the version gives nothing to learn from, or the network did not learn it.
    """
    rows = _rows(source)
    frame = source.train.take(rows).frame()
    encode = encodings.for_linear_models(source.model.features).fit(frame)
    matrix, scaler = _dense(encode.transform(frame)), StandardScaler()
    sums = scaler.fit_transform(source.sums[rows])
    made = MLPRegressor(
        hidden_layer_sizes=(neurons,),
        max_iter=_ITERATIONS,
        early_stopping=True,
        n_iter_no_change=5,
        batch_size=min(256, len(rows)),
        learning_rate_init=0.003,
        random_state=source.spec.train.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # it stops while it still learns: it is to be small
        made.fit(matrix, sums[:, 0] if sums.shape[1] == 1 else sums)
    second = made.coefs_[1] * scaler.scale_
    shift = made.intercepts_[1] * scaler.scale_ + scaler.mean_
    graph = denses.network(made.coefs_[0], made.intercepts_[0], second, shift)
    if not np.isfinite(second).all():
        raise errors.EstimatorError("The network's weights grew without bounds.")
    return Student(encode, graph=graph)


def trees(source: Source, iterations: int, leaves: int) -> Student:
    """Gradient boosting of `iterations` trees an output, of at most `leaves` leaves each.

    Raises:
        EstimatorError: the version gives nothing to learn from, or has too many classes.
    """
    rows = _rows(source)
    sums = source.sums[rows]
    outputs = sums.shape[1]
    if outputs > MOST_OUTPUTS:
        raise errors.EstimatorError(f"{outputs} classes are too many for a small model of trees.")
    frame = source.train.take(rows).frame()
    encode = encodings.for_trees(source.model.features).fit(frame)
    matrix = _dense(encode.transform(frame))
    bodies = []
    for target in range(outputs):
        made = HistGradientBoostingRegressor(
            max_iter=iterations, max_leaf_nodes=leaves, learning_rate=min(0.5, 6 / iterations),
            early_stopping=False, random_state=source.spec.train.seed,
        )  # fmt: skip
        bodies.append(tables.body(made.fit(matrix, sums[:, target])))
    grown = tuple(
        replace(tree, target=target)
        for target, body in enumerate(bodies)
        if isinstance(body.part, Ensemble)
        for tree in body.part.trees
    )
    base = np.concatenate([body.base for body in bodies])
    return Student(encode, body=Body(Ensemble(grown), base, source.link))


def _rows(source: Source) -> npt.NDArray[np.int64]:
    count = source.train.rows
    return np.linspace(0, count - 1, min(count, MOST_ROWS)).astype(np.int64)


def _dense(matrix: Any) -> npt.NDArray[np.float64]:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)
