"""How many numbers fall in each cell between edges: by NumPy, or for whole tables by compiled code.

Both give the same counts, value for value. The compiled one is several times faster, but costs
half a second and 70 MB once, so it is taken only after whoever has a table to count said so
(`prepare`): a server never pays for it. What edges mean is `profiles`' business.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core.kernels import MOST_EDGES, Kernel, compiled

logger = logging.getLogger(__name__)

WORTHWHILE = 10_000_000
"""Values from which the compiled code makes up for its import."""
_FEWEST = 1000
"""Values from which calling it is faster."""


class _Compiled:
    """The compiled code of this process, once somebody asked for it."""

    kernel: Kernel | None = None
    asked = False


def prepare(values: int) -> None:
    """Load the compiled code if as many `values` are to be counted as make that worthwhile.

    Where it cannot be had NumPy goes on counting.
    """
    if _Compiled.asked or values < WORTHWHILE:
        return
    try:
        _Compiled.kernel = compiled()
    except Exception as error:  # of Numba, LLVM or a damaged cache: counts are had without them
        logger.debug("numbers are counted by NumPy, for there is no compiled code: %s", error)
    _Compiled.asked = True


def count(
    edges: npt.NDArray[np.float64],
    values: npt.NDArray[Any],
    group: npt.NDArray[np.integer[Any]] | None,
    groups: int,
) -> npt.NDArray[np.int64]:
    """Counts in (-inf, e0], (e0, e1], …, (e_last, inf), missing; shape `(groups, len(edges) + 2)`.

    Args:
        edges: strictly increasing, shape `(k,)`.
        values: float64, NaN where missing, shape `(n,)`.
        group: of each value, from 0; None when all are in the first one.
        groups: how many there are.
    """
    kernel = _Compiled.kernel
    if kernel is None or values.size < _FEWEST or edges.size > MOST_EDGES or values.dtype != np.float64:
        return _by_numpy(edges, values, group, groups)
    counts = np.zeros((groups, edges.size + 2), dtype=np.int64)
    padded = np.full(MOST_EDGES, np.inf)
    padded[: edges.size] = edges
    of = np.zeros(0, np.int64) if group is None else np.ascontiguousarray(group, dtype=np.int64)
    kernel(np.ascontiguousarray(values), padded, of, edges.size + 1, counts)
    return counts


def _by_numpy(
    edges: npt.NDArray[np.float64],
    values: npt.NDArray[Any],
    group: npt.NDArray[np.integer[Any]] | None,
    groups: int,
) -> npt.NDArray[np.int64]:
    cells = edges.size + 2
    cell = np.searchsorted(edges, values, side="left")
    cell[np.isnan(values)] = cells - 1
    if group is not None:
        cell += group * cells
    counts: npt.NDArray[np.int64] = np.bincount(cell, minlength=groups * cells).astype(np.int64)
    return counts.reshape(groups, cells)
