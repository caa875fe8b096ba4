"""Whether synthetic rows give away the real rows that they were made from.

Rows that were fitted on are compared with as many like them that were not (the control): were nothing
given away, synthetic rows would be as close to the one as to the other, and an attacker who takes the
nearest for members of the training data would guess. Source of the attack: distance to the closest
synthetic record, as in Hilprecht, Härterich, Bernau (2019) and Chen et al. (2020); of the shares of
closest records: Platzer and Reutterer (2021).
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from pilotage.components.datasets import Dataset
from pilotage.core import features
from pilotage.core.artifacts import Estimate, Leakage
from pilotage.core.features import Array
from pilotage.core.metrics import Task

LEAST_CONTROL = 30
"""Rows, without which shares say nothing."""
MOST_ROWS = 2_000
_DIMENSIONS = 12
"""Of the space in which different texts lie about 1 apart."""
_RESAMPLES = 200

Matrix = npt.NDArray[np.float64]


def measure(members: Dataset, control: Dataset, synthetic: Dataset, task: Task, seed: int) -> Leakage | None:
    """What `synthetic` gives away of `members`, which it was fitted on, beside `control`, which it was not.

    Returns:
        None where there is too little to compare.
    """
    least = min(members.rows, control.rows, synthetic.rows)
    if least < LEAST_CONTROL:
        return None
    random = np.random.default_rng(seed)
    size = min(members.rows, control.rows, MOST_ROWS)
    whole = members
    members, control = _part(members, size, random), _part(control, size, random)
    synthetic = _part(synthetic, MOST_ROWS, random)
    space = _Space(members, control, task)
    inside, outside, made = (space.place(rows) for rows in (members, control, synthetic))
    to_members, ratios = _nearest(inside, made)
    to_control, _ = _nearest(outside, made)
    _, control_ratios = _nearest(inside, outside)
    copies, excess = _copies(whole, members, control, synthetic)
    return Leakage(
        copies=copies,
        copy_excess=excess,
        closeness=_closeness(to_members, to_control),
        neighbour_ratio=_median(ratios),
        control_ratio=_median(control_ratios),
        membership=_membership(_nearest(made, inside)[0], _nearest(made, outside)[0], random),
        rows=synthetic.rows,
        control=control.rows,
    )


def copies(real: Dataset, synthetic: Dataset) -> int:
    """Synthetic rows that equal a real row in every column and the target."""
    return int(np.isin(_marks(synthetic), _marks(real)).sum())


def _copies(whole: Dataset, members: Dataset, control: Dataset, synthetic: Dataset) -> tuple[int, float]:
    marks = _marks(synthetic)
    of_members = float(np.isin(marks, _marks(members)).mean())
    of_control = float(np.isin(marks, _marks(control)).mean())
    return copies(whole, synthetic), of_members - of_control


def _marks(dataset: Dataset) -> npt.NDArray[np.uint64]:
    frame = features.to_frame(dataset.columns)
    target = pd.Series(dataset.target)
    frame["\0target"] = target.map(features.category_text) if target.dtype == object else target
    found: npt.NDArray[np.uint64] = np.asarray(
        pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64
    )
    return found


def _part(dataset: Dataset, rows: int, random: np.random.Generator) -> Dataset:
    if dataset.rows <= rows:
        return dataset
    return dataset.take(np.sort(random.choice(dataset.rows, rows, replace=False)))


class _Space:
    """Where rows lie: numbers by their rank among real rows, texts about 1 apart."""

    def __init__(self, members: Dataset, control: Dataset, task: Task) -> None:
        self._known: dict[str, Matrix] = {}
        self._classes = task is Task.CLASSIFICATION
        for name, first in self._columns(members).items():
            if first.dtype != object:
                both = np.concatenate([_number(first), _number(self._columns(control)[name])])
                self._known[name] = np.sort(both[np.isfinite(both)])

    def _columns(self, dataset: Dataset) -> dict[str, Array]:
        target = dataset.target
        if self._classes:
            target = np.array([features.category_text(value) for value in target.tolist()], dtype=object)
        return {**dataset.columns, "\0target": target}

    def place(self, dataset: Dataset) -> Matrix:
        """Shape `(n, dimensions)`."""
        parts = []
        for name, values in self._columns(dataset).items():
            parts.append(_texts(values) if values.dtype == object else self._ranks(name, values))
        return np.concatenate(parts, axis=1)

    def _ranks(self, name: str, values: Array) -> Matrix:
        known, numbers = self._known[name], _number(values)
        low = np.searchsorted(known, numbers, side="left")
        high = np.searchsorted(known, numbers, side="right")
        ranks = (low + high) / (2.0 * max(1, known.size))
        gone = ~np.isfinite(numbers)
        return np.stack([np.where(gone, 0.5, ranks), gone.astype(np.float64)], axis=1)


def _number(values: Array) -> npt.NDArray[np.float64]:
    if values.dtype.kind != "M":
        return values.astype(np.float64)
    found = np.full(values.size, np.nan)
    known = ~np.isnat(values)
    found[known] = values[known].astype("datetime64[us]").astype(np.int64)
    return found


def _texts(values: Array) -> Matrix:
    """Each text at a place on a sphere that depends on it alone."""
    codes, known = pd.factorize(values)
    places = np.zeros((len(known) + 1, _DIMENSIONS))
    for row, value in enumerate(known):
        direction = np.random.default_rng(zlib.crc32(str(value).encode())).standard_normal(_DIMENSIONS)
        places[row] = direction / np.linalg.norm(direction) / np.sqrt(2)
    return places[codes]  # missing has the code -1: the origin, in the last row


def _nearest(among: Matrix, asked: Matrix) -> tuple[Matrix, Matrix]:
    """Distance to the nearest row, and its ratio to that to the second nearest."""
    distances, _ = NearestNeighbors(n_neighbors=2, n_jobs=1).fit(among).kneighbors(asked)
    second = distances[:, 1]
    ratio = np.divide(distances[:, 0], second, out=np.ones(len(asked)), where=second > 0)
    return distances[:, 0], ratio


def _closeness(to_members: Matrix, to_control: Matrix) -> Estimate:
    """Share of rows closer to members, ties as half; Wilson's interval (1927)."""
    wins = float((to_members < to_control).sum() + 0.5 * (to_members == to_control).sum())
    size = to_members.size
    between = stats.binomtest(round(wins), size).proportion_ci(method="wilson")
    return Estimate(value=wins / size, low=float(between.low), high=float(between.high))


def _membership(members: Matrix, others: Matrix, random: np.random.Generator) -> Estimate:
    """Area under the curve of the attack, with a bootstrap interval."""
    draws = [
        _area(
            members[random.integers(0, members.size, members.size)],
            others[random.integers(0, others.size, others.size)],
        )
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return Estimate(value=_area(members, others), low=float(low), high=float(high))


def _area(members: Matrix, others: Matrix) -> float:
    """Chance that a member lies closer than another, ties as half (Mann and Whitney 1947)."""
    ranks = stats.rankdata(np.concatenate([members, others]))
    total = float(ranks[: members.size].sum()) - members.size * (members.size + 1) / 2
    return 1.0 - total / (members.size * others.size)


def _median(values: Any) -> float | None:
    return float(np.median(values)) if len(values) else None
