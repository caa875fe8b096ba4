"""Counts of served rows by the reference profile's cells, for all windows that they fall in at once.

Traffic of many times touches many windows; one pass over each column serves them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pilotage.core import profiles
from pilotage.core.features import category_text
from pilotage.core.profiles import CategoryProfile, Counts, NumberProfile
from pilotage.serving.records.servings import Joined, Times
from pilotage.serving.versions.lives import Live


class Counted(NamedTuple):
    """The rows of one window."""

    rows: int
    features: dict[str, Counts]
    distinct: dict[str, Counter[str | None]]
    """How often each value of a category came."""
    score: Counts
    prediction: Counts
    """Empty for regression."""


def by_window(live: Live, joined: Joined, starts: Times, found: Times) -> Iterator[Counted]:
    """Counts for each of the windows `found`, which are sorted; `starts` has the window of each row."""
    group = None if len(found) == 1 else np.searchsorted(found, starts)
    numbers: dict[str, Counts] = {}
    texts: dict[str, list[Counter[Any]]] = {}
    for name, part in live.profile.features.items():
        column = joined.columns[name]
        if isinstance(part, NumberProfile):
            values = profiles.as_profiled(live.features[name], column)
            numbers[name] = part.count_groups(values, group, len(found))
        else:
            texts[name] = _distinct(column, group, len(found))
    scores = live.profile.score.count_groups(joined.scores, group, len(found))
    classes = _distinct(joined.predictions, group, len(found)) if live.profile.prediction else []
    rows = [len(starts)] if group is None else np.bincount(group, minlength=len(found)).tolist()
    for place in range(len(found)):
        distinct = {name: counters[place] for name, counters in texts.items()}
        features = {name: counts[place] for name, counts in numbers.items()}
        for name, part in live.profile.features.items():
            if isinstance(part, CategoryProfile):
                features[name] = part.count_distinct(distinct[name])
        prediction = _classes(live, classes[place] if classes else None)
        yield Counted(rows[place], features, distinct, scores[place], prediction)


def _distinct(
    values: npt.NDArray[Any], group: npt.NDArray[np.intp] | None, groups: int
) -> list[Counter[Any]]:
    """How often each value is in each group."""
    if group is None:
        return [Counter(values.tolist())]
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(groups + 1))
    ordered = values[order].tolist()
    return [Counter(ordered[bounds[place] : bounds[place + 1]]) for place in range(groups)]


def _classes(live: Live, found: Counter[Any] | None) -> Counts:
    profile = live.profile.prediction
    if profile is None or found is None:
        return np.zeros(0, np.int64)
    return profile.count_distinct({category_text(value): count for value, count in found.items()})
