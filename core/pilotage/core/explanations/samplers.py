"""Estimated contributions of any model: features change from a background row's to the row's in random order.

The order is also taken backwards with the same background row, which cancels much of
the error (Mitchell et al., "Sampling permutations for Shapley value estimation", 2022).
Base and contributions add up to the model's output exactly, whatever the budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilotage.core.explanations import backgrounds
from pilotage.core.explanations.attributions import Array, Budget
from pilotage.core.features import Columns

FEWEST_ROUNDS = 2
"""Below which there is no standard error."""
ROWS_TOGETHER = 5_000
"""Mixed rows that the model is asked for together, which shares the cost of asking."""
MOST_CELLS = 2_000_000
"""Values of those rows, of which wide tables have many."""

Function = Callable[[Columns], Array]
"""Outputs of rows, shape `(rows, outputs)`."""


@dataclass(frozen=True)
class Estimate:
    """Estimated contributions to one output of each row."""

    base: Array
    """Shape `(rows,)`."""
    contributions: Array
    """Shape `(rows, features)`."""
    standard_errors: Array
    values: Array
    """The output itself, shape `(rows,)`."""
    evaluations: int
    """Of the model for each row."""


def estimate(
    function: Function,
    columns: Columns,
    background: Columns,
    chosen: npt.NDArray[np.intp],
    budget: Budget,
    clock: Callable[[], float] = time.monotonic,
) -> Estimate:
    """Contributions to the output number `chosen` of each row.

    Args:
        function: the model.
        columns: rows to explain, at least one.
        background: rows to compare with.
        chosen: which of the outputs, shape `(rows,)`.
        budget: when to stop.
        clock: seconds that only grow.
    """
    random = np.random.default_rng(0)
    rows, features = len(chosen), len(columns)
    until, cost = clock() + budget.seconds, max(1, 2 * features - 1)
    wanted = max(FEWEST_ROUNDS, (budget.evaluations - 1) // cost)
    at_once = max(FEWEST_ROUNDS, ROWS_TOGETHER // (rows * cost))
    values = function(columns)[np.arange(rows), chosen]
    order = random.permutation(len(next(iter(background.values()))))
    found, starts = np.zeros((0, rows, features)), np.zeros((0, rows))
    while len(found) < wanted and (not len(found) or clock() < until):
        numbers = range(len(found), min(len(found) + at_once, wanted))
        walks = [_Walk(random.permutation(features), int(order[number % len(order)])) for number in numbers]
        outputs = _outputs(function, columns, background, chosen, walks)
        changes = [walk.changes(part, values) for walk, part in zip(walks, outputs, strict=True)]
        found, starts = np.concatenate([found, changes]), np.concatenate([starts, outputs[:, :, 0]])
    rounds = len(found)
    return Estimate(
        base=starts.mean(axis=0),
        contributions=found.mean(axis=0),
        standard_errors=found.std(axis=0, ddof=1) / np.sqrt(rounds),
        values=values,
        evaluations=1 + rounds * cost,
    )


@dataclass(frozen=True)
class _Walk:
    """One order of the features, forwards and backwards, from one background row."""

    order: npt.NDArray[np.intp]
    compared: int
    """Number of the background row."""

    def masks(self) -> npt.NDArray[np.bool_]:
        """Which features are the row's at each stop: the starts of the order, then of the order backwards."""
        features = len(self.order)
        rank = np.empty(features, dtype=np.intp)
        rank[self.order] = np.arange(features)
        forward = rank < np.arange(features)[:, np.newaxis]
        backward = (features - 1 - rank) < np.arange(1, features)[:, np.newaxis]
        return np.vstack([forward, backward])

    def changes(self, outputs: Array, values: Array) -> Array:
        """What each feature changes, shape `(rows, features)`, from outputs at each stop and at the end."""
        features = len(self.order)
        start, forward, backward = outputs[:, :1], outputs[:, :features], outputs[:, features:]
        ends = values[:, np.newaxis]
        found = np.zeros((len(values), features))
        found[:, self.order] += np.diff(np.hstack([forward, ends]), axis=1) / 2
        found[:, self.order[::-1]] += np.diff(np.hstack([start, backward, ends]), axis=1) / 2
        return found


def _outputs(
    function: Function,
    columns: Columns,
    background: Columns,
    chosen: npt.NDArray[np.intp],
    walks: Sequence[_Walk],
) -> Array:
    """The chosen output at each stop of each walk, shape `(walks, rows, stops)`."""
    masks = np.stack([walk.masks() for walk in walks])
    compared = np.array([walk.compared for walk in walks], dtype=np.intp)
    rows, stops, parts = len(chosen), masks.shape[1], []
    walk_numbers, row_numbers = np.repeat(np.arange(len(walks)), rows), np.tile(np.arange(rows), len(walks))
    at_once = max(1, MOST_CELLS // masks[0].size)
    for begin in range(0, len(row_numbers), at_once):
        walk, row = walk_numbers[begin : begin + at_once], row_numbers[begin : begin + at_once]
        taken, instead = np.repeat(row, stops), np.repeat(compared[walk], stops)
        mixed = backgrounds.mix(columns, background, taken, instead, np.concatenate(masks[walk]))
        parts.append(function(mixed)[np.arange(len(taken)), np.repeat(chosen[row], stops)])
    return np.concatenate(parts).reshape(len(walks), rows, stops)
