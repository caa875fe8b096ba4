"""Count, mean, squares, smallest and largest of many columns at once, which add up.

Bins say where values lie, not by how much a mean moved; these do, in forty bytes a
column. Kept as one array so that a batch of rows, or a month of windows, is one pass.
Which columns they are of is not known here.

    MEASURES   count, mean, squares (sum of squared distances from the mean), smallest, largest

Without values: 0, 0, 0, inf, -inf. Pairs are added as Chan, Golub and LeVeque (1979) do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Moments = npt.NDArray[np.float64]
"""Shape `(…, MEASURES)`."""

MEASURES = 5
LARGEST = 1e140
"""Values of a greater magnitude are left out, as missing and infinite ones are: their squares would not
stay finite when they are added up."""
_NONE = np.array([0.0, 0.0, 0.0, np.inf, -np.inf])


def empty(*shape: int) -> Moments:
    """Moments of no values, shape `(*shape, MEASURES)`."""
    return np.broadcast_to(_NONE, (*shape, MEASURES)).copy()


def measure(values: npt.NDArray[np.float64], bounds: npt.NDArray[np.intp] | None = None) -> Moments:
    """Moments of each column, in each group of rows.

    Args:
        values: shape `(columns, rows)`, with rows of one group side by side; overwritten.
        bounds: first row of each group, none of which is empty; None when all rows are one group.

    Returns:
        Shape `(groups, columns, MEASURES)`.
    """
    found = np.empty((1 if bounds is None else len(bounds), len(values), MEASURES))
    rows = np.array([values.shape[1]]) if bounds is None else np.diff(bounds, append=values.shape[1])
    with np.errstate(invalid="ignore"):
        low, high = (_grouped(reduce, values, bounds) for reduce in (np.minimum, np.maximum))
        (gaps,) = np.nonzero(~((low >= -LARGEST) & (high <= LARGEST)).all(axis=0))
    found[:, :, 0], found[:, :, 3], found[:, :, 4] = rows[:, None], low, high
    left_out = _without_gaps(values, gaps, bounds, found) if len(gaps) else None
    found[:, :, 1] = _grouped(np.add, values, bounds) / np.maximum(found[:, :, 0], 1.0)
    means = found[:, :, 1].T
    values -= means if bounds is None else np.repeat(means, rows, axis=1)
    if left_out is not None:
        values[gaps] = np.where(left_out, 0.0, values[gaps])
    if bounds is None:
        found[0, :, 2] = np.einsum("ij,ij->i", values, values)
    else:
        found[:, :, 2] = _grouped(np.add, np.square(values, out=values), bounds)
    return found


def _without_gaps(
    values: npt.NDArray[np.float64],
    gaps: npt.NDArray[np.intp],
    bounds: npt.NDArray[np.intp] | None,
    found: Moments,
) -> npt.NDArray[np.bool_]:
    """Put 0 in the place of what is left out, correct counts and ends; returns which values of the
    columns `gaps` those were."""
    held = values[gaps]
    with np.errstate(invalid="ignore"):
        left_out = ~(np.abs(held) <= LARGEST)
    found[:, gaps, 0] -= _grouped(np.add, left_out.astype(np.intp), bounds)
    found[:, gaps, 3] = _grouped(np.minimum, np.where(left_out, np.inf, held), bounds)
    found[:, gaps, 4] = _grouped(np.maximum, np.where(left_out, -np.inf, held), bounds)
    values[gaps] = np.where(left_out, 0.0, held)
    return left_out


def _grouped(reduce: np.ufunc, values: npt.NDArray[Any], bounds: npt.NDArray[np.intp] | None) -> Any:
    """Shape `(groups, columns)`."""
    if bounds is None:
        return reduce.reduce(values, axis=1)[None]
    return reduce.reduceat(values, bounds, axis=1).T


def add(one: Moments, two: Moments) -> Moments:
    """Both together, of the same shape; commutative, and associative but for rounding."""
    counts = one[..., 0] + two[..., 0]
    divisor = np.maximum(counts, 1.0)
    apart = one[..., 1] - two[..., 1]
    added = np.empty_like(one)
    added[..., 0] = counts
    added[..., 1] = (one[..., 0] * one[..., 1] + two[..., 0] * two[..., 1]) / divisor
    added[..., 2] = one[..., 2] + two[..., 2] + apart * apart * (one[..., 0] * two[..., 0] / divisor)
    added[..., 3] = np.minimum(one[..., 3], two[..., 3])
    added[..., 4] = np.maximum(one[..., 4], two[..., 4])
    return added


def total(many: Moments) -> Moments:
    """All along the first axis together, of which there is at least one."""
    counts, means = many[..., 0], many[..., 1]
    count = counts.sum(axis=0)
    divisor = np.maximum(count, 1.0)
    mean = (counts * means).sum(axis=0) / divisor
    apart = np.where(counts > 0, means - mean, 0.0)
    squares = many[..., 2].sum(axis=0) + (counts * apart * apart).sum(axis=0)
    return np.stack([count, mean, squares, many[..., 3].min(axis=0), many[..., 4].max(axis=0)], axis=-1)
