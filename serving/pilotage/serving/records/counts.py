"""Counts and moments of served rows, for all windows that they fall in at once.

Counts are by the reference profile's cells. Traffic of many times touches many windows; one pass
over each column serves them all, and one over all numbers together gives their moments. What
leaves the reference's range is handed on as values, for sketches to hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pilotage.core import moments, profiles
from pilotage.core.features import category_text
from pilotage.core.moments import Moments
from pilotage.core.profiles import CategoryProfile, Counts, NumberProfile
from pilotage.serving.records.servings import Joined, Times
from pilotage.serving.versions.lives import Live

Numbers = dict[str, npt.NDArray[np.float64]]


class Counted(NamedTuple):
    """The rows of one window."""

    places: npt.NDArray[np.intp] | slice
    """Which of the joined rows they are."""
    rows: int
    counts: Counts
    """As `live.layout` has them, with nothing for latencies."""
    moments: Moments
    """Of every feature, then of the score."""
    distinct: dict[str, Counter[str | None]]
    """How often each value of a category came."""
    outside: Numbers
    """Values of a number beyond the reference's range, where there are any."""


class _Split(NamedTuple):
    """Which rows are of which window."""

    windows: int
    group: npt.NDArray[np.intp] | None
    """Window of each row; None when there is one."""
    order: npt.NDArray[np.intp] | slice
    """Rows by window."""
    bounds: npt.NDArray[np.intp]
    """Where each window's rows begin in that order, and where the last ends."""

    @property
    def begins(self) -> npt.NDArray[np.intp] | None:
        return None if self.group is None else self.bounds[:-1]

    def places(self, window: int) -> npt.NDArray[np.intp] | slice:
        if isinstance(self.order, slice):
            return self.order
        return self.order[self.bounds[window] : self.bounds[window + 1]]


def _split(starts: Times, found: Times) -> _Split:
    if len(found) == 1:
        return _Split(1, None, slice(None), np.array([0, len(starts)]))
    group = np.searchsorted(found, starts)
    order = np.argsort(group, kind="stable")
    return _Split(len(found), group, order, np.searchsorted(group[order], np.arange(len(found) + 1)))


def by_window(live: Live, joined: Joined, starts: Times, found: Times) -> Iterator[Counted]:
    """Counts for each of the windows `found`, which are sorted; `starts` has the window of each row."""
    split, layout, profile = _split(starts, found), live.layout, live.profile
    counts = np.zeros((split.windows, layout.cells), np.int64)
    numbers: Numbers = {}
    texts: dict[str, list[Counter[Any]]] = {}
    for name, part in profile.features.items():
        column = joined.columns[name]
        if isinstance(part, NumberProfile):
            numbers[name] = values = profiles.as_profiled(live.features[name], column)
            counts[:, layout.places[name]] = part.count_groups(values, split.group, split.windows)
        else:
            texts[name] = _distinct(column, split)
            for window, counter in enumerate(texts[name]):
                counts[window, layout.places[name]] = part.count_distinct(counter)
    counts[:, layout.of_score] = profile.score.count_groups(joined.scores, split.group, split.windows)
    if profile.prediction:
        for window, counter in enumerate(_distinct(joined.predictions, split)):
            counts[window, layout.of_prediction] = _classes(profile.prediction, counter)
    measured = _measured(live, numbers, joined.scores, split)
    outside = _outside(live, numbers, counts, split)
    for window in range(split.windows):
        yield Counted(
            split.places(window),
            int(split.bounds[window + 1] - split.bounds[window]),
            counts[window],
            measured[window],
            {name: counters[window] for name, counters in texts.items()},
            outside[window],
        )


def _distinct(values: npt.NDArray[Any], split: _Split) -> list[Counter[Any]]:
    """How often each value is in each window."""
    ordered, bounds = values[split.order].tolist(), split.bounds.tolist()
    return [Counter(ordered[bounds[place] : bounds[place + 1]]) for place in range(split.windows)]


def _classes(profile: CategoryProfile, found: Mapping[Any, int]) -> Counts:
    return profile.count_distinct({category_text(value): count for value, count in found.items()})


def _measured(live: Live, numbers: Numbers, scores: npt.NDArray[np.float64], split: _Split) -> Moments:
    """Shape `(windows, features + 1, MEASURES)`; categories have no values."""
    matrix = np.stack([values[split.order] for values in (*numbers.values(), scores)], dtype=np.float64)
    measured = moments.measure(matrix, split.begins)
    features = len(live.layout.features)
    if len(numbers) == features:
        return measured
    held = moments.empty(split.windows, features + 1)
    places = [place for place, (name, _) in enumerate(live.layout.features) if name in numbers]
    held[:, [*places, features]] = measured
    return held


def _outside(live: Live, numbers: Numbers, counts: Counts, split: _Split) -> list[Numbers]:
    """By window; infinite values are counted and not handed on."""
    found: list[Numbers] = [{} for _ in range(split.windows)]
    ends = [(place.start, place.stop - 2) for name, place in live.layout.places.items() if name in numbers]
    if not ends:
        return found
    some: Any = counts[:, np.array(ends)].any(axis=0)  # in the open cells at both ends of each number's range
    for (name, values), (below, above) in zip(numbers.items(), some.tolist(), strict=True):
        if not (below or above):
            continue
        rows = _beyond(live.profile.features[name].edges, values, below, above)  # type: ignore[union-attr]
        group = np.zeros(len(rows), np.intp) if split.group is None else split.group[rows]
        for window in np.unique(group).tolist():
            found[window][name] = values[rows[group == window]]
    return found


def _beyond(
    edges: tuple[float, ...], values: npt.NDArray[np.float64], below: bool, above: bool
) -> npt.NDArray[np.intp]:
    """Rows of the finite values in the open cells that have any."""
    if not edges:
        return np.flatnonzero(np.isfinite(values))
    rows = [np.flatnonzero(values <= edges[0])] if below else []
    if above:
        rows.append(np.flatnonzero(values > edges[-1]))
    found = rows[0] if len(rows) == 1 else np.concatenate(rows)
    return found[np.isfinite(values[found])]
