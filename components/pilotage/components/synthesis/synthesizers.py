"""Makes rows like those of a dataset: class by class where there are classes, else with the target.

What is fitted sees the rows that it is given and no others; which those are is the caller's
business, and so is what becomes of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pilotage.components.datasets import Dataset
from pilotage.components.synthesis import copulas, margins
from pilotage.components.synthesis.copulas import Copula
from pilotage.core import errors
from pilotage.core.artifacts import Feature
from pilotage.core.features import Array, Columns, category_text
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind, Synthesizer

LEAST_ROWS = 10
"""Of a class, to make more of it: fewer say nothing of how it is spread."""
PRIOR_ROWS = 100.0
"""What all classes together count for in how the columns of a small class go together."""
MOST_ROWS = 100_000
"""That are fitted on; a random part of more."""
TARGET, TIME = "\0target", "\0time"
"""Names of columns that no feature has."""


class Fitted(Protocol):
    """What makes rows."""

    @property
    def rows(self) -> int:
        """That it was fitted on."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What it left out, and why."""

    def draw(self, counts: Mapping[Any, int], seed: int) -> Dataset:
        """So many rows of each class, in the order of `counts`; of regression the key is None."""


@dataclass(frozen=True)
class CopulaSynthesizer:
    """A Gaussian copula for each class, or one with the target."""

    features: tuple[Feature, ...]
    by_class: Mapping[Any, Copula]
    rows: int
    times: bool
    notes: tuple[str, ...] = ()

    def draw(self, counts: Mapping[Any, int], seed: int) -> Dataset:
        random = np.random.default_rng(seed)
        parts = [self.by_class[name].draw(rows, random) for name, rows in counts.items()]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if None in self.by_class:
            target = columns.pop(TARGET)
        else:
            target = np.repeat(_of_kind(list(counts)), list(counts.values()))
        times = columns.pop(TIME, None)
        return Dataset(self.features, columns, target, times)


def fit(
    dataset: Dataset,
    task: Task,
    method: Synthesizer,
    seed: int,
    *,
    wanted: set[Any] | None = None,
    least: int = LEAST_ROWS,
) -> Fitted:
    """What makes rows like those of `dataset`.

    Args:
        dataset: rows that may be learned from.
        task: whose target is a class or a number.
        method: what is fitted.
        seed: of the rows that are left out where there are too many.
        wanted: classes that must be possible; all that have `least` rows when left out.
        least: rows of a class.

    Raises:
        DataError: a class that is wanted has too few rows.
        MissingExtra: the method is not installed.
    """
    _check(dataset, task, wanted, least)
    if dataset.rows > MOST_ROWS:
        chosen = np.random.default_rng(seed).choice(dataset.rows, MOST_ROWS, replace=False)
        rare = _rare(dataset, task)
        dataset = dataset.take(np.unique(np.concatenate([chosen, rare])))
    if method is Synthesizer.SDV:
        from pilotage.components.synthesis import sdvs

        return sdvs.fit(dataset, task, least)
    return _copulas(dataset, task, least)


def classes_of(dataset: Dataset, task: Task) -> dict[Any, int]:
    """Rows by class in sorted order; of regression all of them under None."""
    if task is Task.REGRESSION:
        return {None: dataset.rows}
    names, rows = np.unique(dataset.target, return_counts=True)
    return dict(zip(names.tolist(), rows.tolist(), strict=True))


def _rare(dataset: Dataset, task: Task) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows of classes that a random part could lose."""
    counts = classes_of(dataset, task)
    small = [name for name, rows in counts.items() if name is not None and rows < MOST_ROWS // 100]
    return np.flatnonzero(np.isin(dataset.target, small)) if small else np.empty(0, dtype=np.int64)


def _check(dataset: Dataset, task: Task, wanted: set[Any] | None, least: int) -> None:
    counts = classes_of(dataset, task)
    for name in sorted(wanted or set(), key=str):
        rows = counts.get(name, 0)
        if rows < least:
            raise errors.DataError(
                f"Class {name!r} has {rows} training row{'s'[: rows != 1]}, at least {least} are needed to "
                "make more of it.",
                remedy="Bring more rows of it, or leave it out of `data.augment`.",
                rows=rows,
            )
    if not any(rows >= least for rows in counts.values()):
        raise errors.DataError(
            f"No class has {least} training rows, so nothing can be made from them.",
            remedy="Bring more rows, or take `data.augment` out.",
        )


def _copulas(dataset: Dataset, task: Task, least: int) -> CopulaSynthesizer:
    columns = dict(dataset.columns)
    kinds = {feature.name: feature.kind for feature in dataset.features}
    if dataset.times is not None:
        columns[TIME], kinds[TIME] = dataset.times, FeatureKind.TIME
    if task is Task.REGRESSION:
        columns[TARGET], kinds[TARGET] = dataset.target.astype(np.float64), FeatureKind.NUMBER
    group = margins.GROUP if dataset.rows >= 10 * margins.GROUP else 1
    order, notes = _orders(dataset, columns, kinds, task, group)
    whole = _fit(columns, kinds, order, group)
    found: dict[Any, Copula] = {}
    for name, rows in classes_of(dataset, task).items():
        if name is None:
            found[name] = whole
        elif rows >= least:
            of_class = np.flatnonzero(dataset.target == name)
            part = {column: values[of_class] for column, values in columns.items()}
            few = group if rows >= 10 * group else max(1, min(group, rows // 5))
            found[name] = _fit(part, kinds, order, few, whole)
    return CopulaSynthesizer(dataset.features, found, dataset.rows, dataset.times is not None, notes)


def _orders(
    dataset: Dataset, columns: Columns, kinds: Mapping[str, FeatureKind], task: Task, group: int
) -> tuple[dict[str, dict[Any, float]], tuple[str, ...]]:
    """Texts of each category that may occur, in the order of the target's mean; and those without any."""
    if task is Task.REGRESSION:
        numbers = dataset.target.astype(np.float64)
    else:
        numbers = np.unique(dataset.target, return_inverse=True)[1].astype(np.float64)
    found, notes = {}, []
    for name, kind in kinds.items():
        if kind in margins.TEXTS:
            found[name] = margins.common(columns[name], numbers, group)
            if not found[name]:
                notes.append(f"`{name}` is left empty: none of its values occurs {group} times")
    return found, tuple(notes)


def _fit(
    columns: Columns,
    kinds: Mapping[str, FeatureKind],
    order: Mapping[str, Mapping[Any, float]],
    group: int,
    towards: Copula | None = None,
) -> Copula:
    made = {
        name: margins.fit(values, kinds[name], order.get(name), group) for name, values in columns.items()
    }
    return copulas.fit(columns, made, towards, PRIOR_ROWS)


def _of_kind(names: list[Any]) -> Array:
    """Classes as an array of one kind, texts as objects as a dataset has them."""
    if all(isinstance(name, str) for name in names):
        found = np.empty(len(names), dtype=object)
        found[:] = names
        return found
    return np.array(names)


def named(classes: Mapping[Any, int], text: str) -> Any:
    """The class that `text` in pilot.yaml stands for.

    Raises:
        DataError: there is none.
    """
    for name in classes:
        if category_text(name) == text:
            return name
    known = ", ".join(str(category_text(name)) for name in list(classes)[:10])
    raise errors.DataError(
        f"`data.augment.classes` names `{text}`, which no training row has; there are {known}.",
        remedy="Correct pilot.yaml.",
    )
