"""Which group each row is in: by a column's value, its range, or the combination of several columns.

What becomes of groups that are too small to compare is decided here too, and told; how groups
differ is not known.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pilotage.core import features
from pilotage.core.specs import Grouping, SmallGroups
from pilotage.core.specs.groupings import BETWEEN

MOST_VALUES = 10
"""Numbers with more different values are grouped at their quantiles."""
QUANTILES = 4
MISSING = "(missing)"
SMALL = "(small groups)"
MOST_GROUPS = 100
"""Smaller groups beyond so many count as too small, so that pairs of groups can be looked at."""
MOST_NAMED = 50

Labels = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Parts:
    """Rows by group."""

    groups: dict[str, npt.NDArray[np.intp]]
    """Positions of the rows of each group that is compared, by name."""
    small: dict[str, int]
    """Rows of groups that are too small by themselves, the largest first, at most `MOST_NAMED` of them."""
    small_groups: int
    left_out: int
    """Rows that are in no group that is compared."""
    merged: bool
    """Whether small groups are compared as one."""


def part(labels: Labels, grouping: Grouping) -> Parts:
    """The groups that `labels` names, shape `(n,)`, and what is too small for one."""
    names, members, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    kept = [place for place in order[:MOST_GROUPS] if counts[place] >= grouping.min_group]
    few = [place for place in order if place not in set(kept)]
    groups = {str(names[place]): np.flatnonzero(members == place) for place in sorted(kept)}
    rest = np.flatnonzero(np.isin(members, few))
    merged = grouping.small is SmallGroups.MERGE and rest.size >= grouping.min_group
    if merged:
        groups[SMALL] = rest
    return Parts(
        groups=groups,
        small={str(names[place]): int(counts[place]) for place in few[:MOST_NAMED]},
        small_groups=len(few),
        left_out=0 if merged else int(rest.size),
        merged=merged,
    )


def cross(columns: Sequence[Labels]) -> Labels:
    """The name of each row's combination of groups."""
    if len(columns) == 1:
        return columns[0]
    return np.array([BETWEEN.join(names) for names in zip(*columns, strict=True)], dtype=object)


def name_groups(values: npt.NDArray[np.generic]) -> Labels:
    """The group of each value: itself, or a range for numbers and times with many different values."""
    if values.dtype.kind in "fM":
        return _name_numbers(values)
    return np.array([MISSING if value is None else str(value) for value in values.tolist()], dtype=object)


def _name_numbers(values: npt.NDArray[np.generic]) -> Labels:
    missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    present = values[~missing]
    names = np.full(values.shape, MISSING, dtype=object)
    if not present.size:
        return names
    distinct = np.unique(present)
    if distinct.size <= MOST_VALUES:
        names[~missing] = [_text(value) for value in present]
        return names
    edges = np.unique(np.quantile(present, np.linspace(0, 1, QUANTILES + 1), method="inverted_cdf"))
    place = np.clip(np.searchsorted(edges, present, side="left") - 1, 0, max(edges.size - 2, 0))
    ranges = [f"{_text(low)} to {_text(high)}" for low, high in itertools.pairwise(edges)]
    names[~missing] = np.array(ranges, dtype=object)[place]
    return names


def _text(value: object) -> str:
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[D]"))
    return (
        str(features.category_text(value)) if float(str(value)).is_integer() else f"{float(str(value)):.4g}"
    )
