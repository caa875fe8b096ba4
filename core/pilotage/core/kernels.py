"""The loop that counts numbers by cell, for Numba to compile: for whole tables the machine's own code pays.

Only `pilotage.core.cells` imports this, and only when very many values are to be counted, for
Numba takes half a second and 70 MB to load. Nothing here decides when that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

MOST_EDGES = 64
"""What six halvings can tell apart, and one comparison more."""

Kernel = Callable[
    [npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64], int, npt.NDArray[np.int64]],
    None,
]


def histogram(
    values: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float64],
    group: npt.NDArray[np.int64],
    missing: int,
    counts: npt.NDArray[np.int64],
) -> None:
    """Add values to `counts` by the number of edges below them; without branches on values.

    Args:
        values: shape `(n,)`.
        edges: increasing, filled up with infinity to shape `(MOST_EDGES,)`.
        group: of each value, or of shape `(0,)` when all are in group 0.
        missing: cell of NaN.
        counts: shape `(groups, cells)`.
    """
    grouped = group.size > 0
    for place in range(values.size):
        value = values[place]
        cell = 0
        for half in (32, 16, 8, 4, 2, 1):
            cell += half if edges[cell + half - 1] < value else 0
        cell += 1 if edges[cell] < value else 0
        if value != value:
            cell = missing
        counts[group[place] if grouped else 0, cell] += 1


def compiled() -> Kernel:
    """`histogram` as machine code; from Numba's cache on disk where there is a place for one.

    Raises:
        ImportError: Numba is not installed.
    """
    import numba
    from numba import types

    floats = types.Array(types.float64, 1, "C", readonly=True)
    whole = types.Array(types.int64, 1, "C", readonly=True)
    signature = types.void(floats, floats, whole, types.int64, types.int64[:, ::1])
    try:
        made: Any = numba.njit([signature], cache=True, nogil=True)(histogram)
    except (OSError, RuntimeError):  # a read-only file system, or one that is full
        made = numba.njit([signature], nogil=True)(histogram)
    return cast(Kernel, made)
