"""What bins cannot say of served values: quantiles beyond the reference's range, how many new categories.

Sketches of Apache DataSketches, which nobody else here touches: KLL (Karnin, Lang and
Liberty, 2016) and HLL (Flajolet et al., 2007). Windows carry them as bytes and keep those
of several windows side by side; they are merged here when somebody reads them. Merging
KLL sketches is randomised, as is filling them: two reads may differ within their error.
The library is loaded by the first value that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pilotage.core.windows import Sketches

if TYPE_CHECKING:
    from datasketches import hll_union, kll_doubles_sketch

FINEST = 128
"""`k` of a quantile sketch: ranks are right within 2.1 %, in three kilobytes at most."""
COARSEST = 16
"""Ranks are right within 15 %, in six hundred bytes; what is smaller takes no less."""
MOST_BYTES = 48_000
"""Quantile sketches of one window together; when more columns leave the range, all become coarser."""
_LOG_CELLS = 9
"""Of a distinct-count sketch: right within 4.6 % (one standard deviation), in 296 bytes at most."""
_MOST_WAITING = 20_000
"""Values that wait to be put in a sketch, which is done when it is written."""


class Numbers:
    """Values of one number, for a quantile sketch."""

    def __init__(self, held: Sketches = ()) -> None:
        self._held = held
        self._waiting: list[npt.NDArray[np.float64]] = []
        self._count = 0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Take values, none missing."""
        self._waiting.append(values)
        self._count += len(values)
        if self._count >= _MOST_WAITING:
            self.data()

    def data(self, k: int = FINEST) -> bytes:
        """The sketch, of a coarseness `k` of at most `FINEST`."""
        if self._waiting:
            sketch = _together(self._held, FINEST)
            sketch.update(np.concatenate(self._waiting))
            self._waiting, self._count = [], 0
            self._held = (bytes(sketch.serialize()),)
        if k == FINEST and len(self._held) == 1:
            return self._held[0]
        return bytes(_together(self._held, k).serialize())


def _together(sketches: Sketches, k: int) -> kll_doubles_sketch:
    from datasketches import kll_doubles_sketch

    whole = kll_doubles_sketch(k)
    for part in sketches:
        whole.merge(kll_doubles_sketch.deserialize(part))
    return whole


class Texts:
    """Values of one category, for a distinct-count sketch."""

    def __init__(self, held: Sketches = ()) -> None:
        self._held = held
        self._waiting: set[str] = set()

    def add(self, values: Iterable[str]) -> None:
        """Take values."""
        self._waiting.update(values)
        if len(self._waiting) >= _MOST_WAITING:
            self.data()

    def data(self) -> bytes:
        """The sketch."""
        if not self._waiting and len(self._held) == 1:
            return self._held[0]
        union = _union(self._held)
        for value in self._waiting:
            union.update("=" + value.encode("utf-8", "backslashreplace").decode())  # it skips empty text
        self._waiting.clear()
        self._held = (bytes(union.get_result().serialize_compact()),)
        return self._held[0]


def _union(sketches: Sketches) -> hll_union:
    from datasketches import hll_sketch, hll_union

    whole = hll_union(_LOG_CELLS)
    for part in sketches:
        whole.update(hll_sketch.deserialize(part))
    return whole


def fitting(numbers: Mapping[str, Numbers]) -> dict[str, Sketches]:
    """The sketches as fine as `MOST_BYTES` allows."""
    k = FINEST
    while True:
        found: dict[str, Sketches] = {name: (part.data(k),) for name, part in numbers.items()}
        if k <= COARSEST or sum(len(part) for parts in found.values() for part in parts) <= MOST_BYTES:
            return found
        k //= 2


class Quantiles(NamedTuple):
    """What quantile sketches know."""

    size: int
    """How many values they were made from."""
    values: tuple[float, ...]
    """One for each share that was asked for."""
    error: float
    """How far the rank of each may be off, as a share, with 99 % confidence."""


def quantiles(sketches: Sketches, shares: Sequence[float]) -> Quantiles:
    """Values that the `shares` of all values do not exceed; from at least one sketch."""
    sketch = _together(sketches, FINEST)
    values = tuple(float(value) for value in sketch.get_quantiles(list(shares), True))
    return Quantiles(int(sketch.n), values, float(sketch.normalized_rank_error(False)))


class Distinct(NamedTuple):
    """How many different values there were."""

    estimate: float
    low: float
    high: float
    """Two standard deviations to each side."""


def distinct(sketches: Sketches) -> Distinct:
    """From at least one sketch; order does not matter."""
    union = _union(sketches)
    return Distinct(union.get_estimate(), union.get_lower_bound(2), union.get_upper_bound(2))
