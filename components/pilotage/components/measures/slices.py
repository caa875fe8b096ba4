"""Where the model is weak: the goal's metric on parts of the held-out rows, worst first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pilotage.components.measures import bootstraps, groupings, scores
from pilotage.components.measures.groupings import Labels
from pilotage.components.measures.scores import Outcomes
from pilotage.core.artifacts import Estimate, Slice
from pilotage.core.features import Columns

FEWEST_ROWS = 50
"""A smaller slice says more about chance than about the model."""
MOST_VALUES = 5
"""Most frequent values of a column that are looked at."""
MOST_COLUMNS = 40
MOST_SLICES = 20


def worst(columns: Columns, found: Outcomes, metric: str, seed: int) -> tuple[Slice, ...]:
    """The slices with the lowest values of `metric`, at most `MOST_SLICES`, with 95 % intervals.

    Args:
        columns: of the held-out rows; the first `MOST_COLUMNS` are looked at.
        found: predictions of the same rows.
        metric: a scikit-learn scorer's name, greater is better.
        seed: of the intervals.
    """
    scored = [
        (value, column, name, rows)
        for column, name, rows in _candidates(columns)
        if (value := scores.score(metric, found.take(rows))) is not None
    ]
    scored.sort(key=lambda item: (item[0], item[1], item[2]))
    return tuple(
        Slice(
            column=column, value=name, rows=int(rows.size), metric=_interval(metric, found.take(rows), seed)
        )
        for _, column, name, rows in scored[:MOST_SLICES]
    )


def _candidates(columns: Columns) -> Iterator[tuple[str, str, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    for column in list(columns)[:MOST_COLUMNS]:
        groups: Labels = groupings.name_groups(columns[column])
        names, members, counts = np.unique(groups, return_inverse=True, return_counts=True)
        if names.size < 2:
            continue
        for place in np.argsort(-counts, kind="stable")[:MOST_VALUES]:
            if counts[place] >= FEWEST_ROWS:
                yield column, str(names[place]), np.flatnonzero(members == place)


def _interval(metric: str, part: Outcomes, seed: int) -> Estimate:
    return bootstraps.estimate(metric, part, seed)
