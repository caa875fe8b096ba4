"""Which features moved the mean of what a model says: Shapley values of the shift.

The players are features, a coalition's members take the window's values and all others
keep the reference's; the worth is the mean answer, so contributions add up to the shift
(Budhathoki, Janzing, Blöbaum and Ng, 2021, with marginal replacement instead of a causal
graph: features that took the window's values do so jointly, independently of the others).
Rows of both samples are paired at random, and each pair changes its features one by one
in an order of its own and in the reverse one (Castro, Gómez and Tejada, 2009; Mitchell,
Cooper, Frank and Holmes, 2022). So each pair gives an unbiased value of every feature, the
spread over pairs gives standard errors, and a model is asked once a feature and order.
Combinations that never occur are asked about too, as with every such replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pilotage.core import samples
from pilotage.core.artifacts import Contribution, Feature
from pilotage.core.features import Columns
from pilotage.serving.monitor.rows import matrices
from pilotage.serving.monitor.rows.matrices import Numbers

MOST_ROWS = 500
"""Of each sample, that are paired."""
MOST_CALLS = 60
"""Of the model."""
LEAST_ROWS = 20
OTHERS = "all other features"
"""Stands for the features that changed least where there are more than the model may be asked for."""

Predict = Callable[[Columns], Numbers]
"""From columns of `n` rows to what is explained of each, shape `(n,)`."""


def attribute(
    predict: Predict, reference: pa.Table, window: pa.Table, features: Sequence[Feature], *, seed: int
) -> tuple[Contribution, ...]:
    """Contributions to the shift of the mean answer, largest first; none where a sample has too few rows.

    Args:
        predict: called at most `MOST_CALLS` times with at most `MOST_ROWS` rows.
        reference: in the layout of `pilotage.core.samples`.
        window: likewise.
        features: of the model.
        seed: of pairs and orders.
    """
    sides = [samples.columns_of(matrices.canonical(side), features) for side in (reference, window)]
    rows = min(reference.num_rows, window.num_rows, MOST_ROWS)
    if rows < LEAST_ROWS or not features:
        return ()
    generator = np.random.default_rng(seed)
    before, after = (_drawn(columns, rows, generator) for columns in sides)
    return shapley(predict, before, after, _players(sides[0], sides[1], features), generator)


def shapley(
    predict: Predict,
    before: Columns,
    after: Columns,
    players: Sequence[tuple[str, tuple[str, ...]]],
    generator: np.random.Generator,
) -> tuple[Contribution, ...]:
    """Contributions of `players`, names with the columns that each brings, to the mean of `predict`.

    Args:
        predict: of columns.
        before: columns of `n` rows.
        after: columns of as many.
        players: every column belongs to one.
        generator: draws the orders.
    """
    rows = len(next(iter(before.values())))
    order = np.argsort(generator.random((rows, len(players))), axis=1)
    found = _walk(predict, before, after, players, order)
    if 2 * (len(players) + 1) <= MOST_CALLS:
        found = (found + _walk(predict, before, after, players, order[:, ::-1])) / 2
    means, errors = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(rows)
    told = [
        Contribution(feature=name, value=float(mean), error=float(error))
        for (name, _), mean, error in zip(players, means, errors, strict=True)
    ]
    return tuple(sorted(told, key=lambda part: (-abs(part.value), part.feature)))


def _walk(
    predict: Predict,
    before: Columns,
    after: Columns,
    players: Sequence[tuple[str, tuple[str, ...]]],
    order: npt.NDArray[np.intp],
) -> Numbers:
    """What each player adds in each row when players change in `order`, shape `(rows, players)`."""
    place = np.argsort(order, axis=1)
    found = np.empty(order.shape)
    last = np.asarray(predict(before), dtype=np.float64)
    rows = np.arange(len(order))
    for step in range(order.shape[1]):
        mixed = {
            column: np.where(place[:, player] <= step, after[column], before[column])
            for player, (_, columns) in enumerate(players)
            for column in columns
        }
        now = np.asarray(predict({name: mixed[name] for name in before}), dtype=np.float64)
        found[rows, order[:, step]] = now - last
        last = now
    return found


def _drawn(columns: Columns, rows: int, generator: np.random.Generator) -> Columns:
    size = len(next(iter(columns.values())))
    chosen = generator.choice(size, rows, replace=False)
    return {name: values[chosen] for name, values in columns.items()}


def _players(
    before: Columns, after: Columns, features: Sequence[Feature]
) -> list[tuple[str, tuple[str, ...]]]:
    """One a feature; of too many those whose distribution moved least share one."""
    most = MOST_CALLS - 2
    if len(features) <= most:
        return [(feature.name, (feature.name,)) for feature in features]
    pair = matrices.from_columns(before, after, features)
    moved: dict[str, float] = {}
    for column, name in enumerate(pair.names):
        moved[name] = max(
            moved.get(name, 0.0), matrices.distance(pair.reference[:, column], pair.window[:, column])
        )
    ranked = sorted(moved, key=lambda name: (-moved[name], name))
    return [*((name, (name,)) for name in ranked[:most]), (OTHERS, tuple(ranked[most:]))]
