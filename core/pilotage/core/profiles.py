"""What training data and scores looked like: the reference that windows are counted against.

Values are counted in cells that training fixed once, so that windows add up
across replicas and across time. Which difference matters is the monitor's
question, not ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, ConfigDict, Discriminator

from pilotage.core import cells
from pilotage.core.artifacts import Artifact, Digest, Feature, Part
from pilotage.core.specs import EMBEDDED, FeatureKind, Season

Counts = npt.NDArray[np.int64]

MOST_BINS = 64
"""Cells for the values of a number, besides the one for missing values."""
MOST_CATEGORIES = 250
"""Categories that have a cell of their own; the others share one."""


class Groups(NamedTuple):
    """Which of several groups each row is in."""

    numbers: npt.NDArray[np.int64]
    """From 0, shape `(n,)`."""
    groups: int
    """How many there are, with and without rows."""


class Moments(Part):
    """Of the values that are present and finite."""

    mean: float
    std: float
    min: float
    max: float


class NumberProfile(Part):
    """Counts of a number in the cells (-inf, e0], (e0, e1], …, (e_last, inf), missing."""

    model_config = ConfigDict(ignored_types=(cached_property,))
    kind: Literal["number"] = "number"
    edges: tuple[float, ...]
    """Strictly increasing."""
    counts: tuple[int, ...]
    blocks: tuple[tuple[int, ...], ...] = ()
    """The same counts by time block, oldest first; empty without a time."""
    seasons: tuple[tuple[int, ...], ...] = ()
    """The same by weekday (Monday first) or hour, as `ReferenceProfile.season` says; else empty."""
    moments: Moments | None
    """None when no value is finite."""

    @cached_property
    def _edges(self) -> npt.NDArray[np.float64]:
        return np.array(self.edges, dtype=np.float64)

    @property
    def cells(self) -> int:
        return len(self.edges) + 2

    def count(self, values: npt.NDArray[Any]) -> Counts:
        """Counts of `values` (float64, NaN where missing) by cell, shape `(cells,)`."""
        counts: Counts = self.count_groups(values, None, 1)[0]
        return counts

    def count_groups(
        self, values: npt.NDArray[Any], group: npt.NDArray[np.intp] | None, groups: int
    ) -> Counts:
        """The same for each of several groups at once, shape `(groups, cells)`.

        Args:
            values: shape `(n,)`.
            group: of each value, from 0; None when there is one group.
            groups: how many there are.
        """
        return cells.count(self._edges, values, group, groups)


class CategoryProfile(Part):
    """Counts of a category by value, then values without a cell of their own, then missing."""

    model_config = ConfigDict(ignored_types=(cached_property,))
    kind: Literal["category"] = "category"
    categories: tuple[str, ...]
    """Most frequent first."""
    counts: tuple[int, ...]
    """One for each category, then one for all others, then one for missing."""
    blocks: tuple[tuple[int, ...], ...] = ()
    seasons: tuple[tuple[int, ...], ...] = ()
    singletons: int = 0
    """Values seen exactly once, which tells how likely a new one is (Good, 1953)."""

    @cached_property
    def _cell(self) -> dict[str, int]:
        return {category: cell for cell, category in enumerate(self.categories)}

    @property
    def cells(self) -> int:
        return len(self.categories) + 2

    def count(self, values: npt.NDArray[Any]) -> Counts:
        """Counts of `values` (text or None) by cell, shape `(cells,)`."""
        return self.count_distinct(Counter(values.tolist()))

    def count_groups(self, values: npt.NDArray[Any], group: npt.NDArray[np.intp], groups: int) -> Counts:
        """The same for each of several groups at once, shape `(groups, cells)`; see `NumberProfile`."""
        known, other, missing = self._cell, self.cells - 2, self.cells - 1
        found = (missing if value is None else known.get(value, other) for value in values.tolist())
        cell = np.fromiter(found, dtype=np.intp, count=len(values)) + group * self.cells
        counts: Counts = np.bincount(cell, minlength=groups * self.cells).astype(np.int64)
        return counts.reshape(groups, self.cells)

    def count_distinct(self, found: Mapping[str | None, int]) -> Counts:
        """The same from how often each distinct value was found."""
        known, other, missing = self._cell, self.cells - 2, self.cells - 1
        counts = np.zeros(self.cells, dtype=np.int64)
        for value, count in found.items():
            counts[missing if value is None else known.get(value, other)] += count
        return counts


Profile = Annotated[NumberProfile | CategoryProfile, Discriminator("kind")]


class ReferenceProfile(Artifact):
    """Distribution summaries of the training data's features and of the model's scores on held-out rows."""

    FILE: ClassVar[str] = "profile.json"
    kind: Literal["reference_profile"] = "reference_profile"
    schema_version: Literal[1] = 1
    pilot: str
    snapshot: Digest
    rows: int
    features: dict[str, Profile]
    score: NumberProfile
    """Probability of the positive class, highest class probability, or the predicted number."""
    prediction: CategoryProfile | None = None
    """Predicted classes; None for regression."""
    block_seconds: float | None = None
    """Length of a time block; None without a time. Features' blocks are numbered from the first training row,
    those of score and prediction from the first held-out one."""
    first_at: AwareDatetime | None = None
    last_at: AwareDatetime | None = None
    season: Season = Season.NONE
    """What `seasons` of the profiles stand for, in UTC."""
    importances: dict[str, float] = {}
    """How much the score depends on each feature, of 1 together; empty where that is not known."""


def numeric(kind: FeatureKind) -> bool:
    """Whether a feature of `kind` is profiled as a number."""
    return kind is not FeatureKind.CATEGORY


def as_profiled(feature: Feature, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The column as its profile counts it.

    Times become seconds since 1970, texts their length in characters and images that of their base64; all
    else stays.
    """
    if feature.kind in EMBEDDED:
        return np.array([np.nan if value is None else len(value) for value in values.tolist()], np.float64)
    if feature.kind is FeatureKind.TIME:
        seconds = values.astype("datetime64[us]").astype(np.int64).astype(np.float64) / 1e6
        seconds[np.isnat(values)] = np.nan
        return seconds
    return values


def profile_column(
    feature: Feature,
    values: npt.NDArray[Any],
    blocks: npt.NDArray[np.int64] | None = None,
    seasons: Groups | None = None,
) -> NumberProfile | CategoryProfile:
    """The profile of one column, shape `(n,)`, of a non-empty table.

    Args:
        feature: name and kind.
        values: as `pilotage.core.features` gives it.
        blocks: number of the time block of each row, from 0, or None.
        seasons: the weekday or hour of each row, or None.
    """
    if numeric(feature.kind):
        return profile_numbers(as_profiled(feature, values), blocks, seasons)
    return profile_categories(values, blocks, seasons)


def profile_numbers(
    values: npt.NDArray[Any],
    blocks: npt.NDArray[np.int64] | None = None,
    seasons: Groups | None = None,
) -> NumberProfile:
    """The profile of numbers, with edges at the quantiles or, for few values, at each of them."""
    present = values[np.isfinite(values)]
    edges = edges_of(present)
    empty = NumberProfile(edges=edges, counts=(), moments=None)
    moments = None
    if present.size:
        mean, std = float(present.mean()), float(present.std())
        moments = Moments(mean=mean, std=std, min=float(present.min()), max=float(present.max()))
    return NumberProfile(
        edges=edges,
        counts=tuple(empty.count(values).tolist()),
        blocks=_by_group(empty, values, _blocks(blocks)),
        seasons=_by_group(empty, values, seasons),
        moments=moments,
    )


def edges_of(present: npt.NDArray[Any]) -> tuple[float, ...]:
    """Inner edges for finite values; one shared by many rows gets a cell of its own."""
    if not present.size:
        return ()
    distinct = np.unique(present)
    if distinct.size > MOST_BINS - 1:
        distinct = np.unique(np.quantile(present, np.linspace(0, 1, MOST_BINS - 1), method="inverted_cdf"))
    lowest = np.nextafter(distinct[0], -np.inf)
    return (float(lowest), *(float(edge) for edge in distinct))


def profile_categories(
    values: npt.NDArray[Any],
    blocks: npt.NDArray[np.int64] | None = None,
    seasons: Groups | None = None,
) -> CategoryProfile:
    """The profile of categories, the most frequent ones with a cell of their own."""
    profile = profile_distinct(Counter(values.tolist()))
    by_group = {
        "blocks": _by_group(profile, values, _blocks(blocks)),
        "seasons": _by_group(profile, values, seasons),
    }
    return profile.model_copy(update=by_group)


def profile_distinct(found: Mapping[str | None, int]) -> CategoryProfile:
    """The profile of a category from how often each distinct value was found; ties go by name."""
    present = [(value, count) for value, count in found.items() if value is not None]
    present.sort(key=lambda item: (-item[1], item[0]))
    empty = CategoryProfile(categories=tuple(value for value, _ in present[:MOST_CATEGORIES]), counts=())
    return CategoryProfile(
        categories=empty.categories,
        counts=tuple(empty.count_distinct(found).tolist()),
        singletons=sum(count == 1 for _, count in present),
    )


def _blocks(numbers: npt.NDArray[np.int64] | None) -> Groups | None:
    if numbers is None or not numbers.size:
        return None
    return Groups(numbers, int(numbers.max()) + 1)


def _by_group(
    profile: NumberProfile | CategoryProfile, values: npt.NDArray[Any], by: Groups | None
) -> tuple[tuple[int, ...], ...]:
    if by is None:
        return ()
    return tuple(tuple(counts) for counts in profile.count_groups(values, by.numbers, by.groups).tolist())


def season_numbers(times: npt.NDArray[Any], season: Season) -> Groups | None:
    """The weekday (Monday is 0) or hour in UTC of `times` (datetime64, none missing); None for no season."""
    if season is Season.NONE:
        return None
    hours = times.astype("datetime64[h]").astype(np.int64)
    if season is Season.HOUR:
        return Groups(hours % 24, 24)
    return Groups((hours // 24 + 3) % 7, 7)  # 1970-01-01 was a Thursday


def block_numbers(times: npt.NDArray[Any], block_seconds: float) -> npt.NDArray[np.int64]:
    """The number of the block that each of `times` (datetime64[us], none missing) falls in, from 0."""
    seconds = times.astype("datetime64[us]").astype(np.int64) / 1e6
    numbers = np.floor(seconds / block_seconds).astype(np.int64)
    first: np.int64 = numbers.min()
    return numbers - first
