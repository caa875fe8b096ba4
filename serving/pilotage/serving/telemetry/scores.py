"""Scores counted by bins that every version has alike, so that those of two versions can be compared.

A version's reference profile has bins of its own, which are better for its own drift and useless
beside another version's. What a counter of these bins is compared with, Prometheus is asked by others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

SHARES = 20
"""Bins of a probability, all of one width."""
PER_DECADE = 10
"""Bins of a number from one power of ten to the next."""
_SMALLEST, _LARGEST = -9, 12
"""Powers of ten beyond which numbers share the last bin."""
_ZERO = -10_000


def count(scores: npt.NDArray[np.float64], *, numbers: bool) -> Mapping[str, int]:
    """How many of `scores`, shape `(n,)`, are in each bin, by the bin's lower bound (its bound next to 0).

    Args:
        scores: probabilities, or predicted numbers.
        numbers: whether they are the latter.
    """
    finite = scores[np.isfinite(scores)]
    places = _of_numbers(finite) if numbers else _of_shares(finite)
    found, counts = np.unique(places, return_counts=True)
    write = _number if numbers else _share
    return {write(place): number for place, number in zip(found.tolist(), counts.tolist(), strict=True)}


def _of_shares(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.clip(np.floor(scores * SHARES), 0, SHARES - 1).astype(np.int64)


def _share(place: int) -> str:
    return f"{place / SHARES:.2f}"


def _of_numbers(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Powers, from 1 on, with the sign of the number; `_ZERO` where it is next to 0."""
    size = np.abs(scores)
    small = size < 10.0**_SMALLEST
    powers = np.floor(np.log10(np.where(small, 1.0, size)) * PER_DECADE).astype(np.int64)
    powers = np.clip(powers, _SMALLEST * PER_DECADE, _LARGEST * PER_DECADE) - _SMALLEST * PER_DECADE + 1
    return np.where(small, _ZERO, np.where(scores < 0, -powers, powers))


def _number(place: int) -> str:
    if place == _ZERO:
        return "0"
    bound = 10.0 ** ((abs(place) - 1) / PER_DECADE + _SMALLEST)
    return f"{bound if place > 0 else -bound:.3g}"
