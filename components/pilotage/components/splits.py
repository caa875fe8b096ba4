"""Which rows train and which are held out: the same rows every time the same data is split.

With a time the last fraction is held out, and no instant is on both sides. Else
each row's side follows from a hash of its key or, without one, of its feature
values, so that a row keeps its side while the table grows and copies of a row
stay together. Where the features have few combinations of values for so many
rows, equal rows are no copies: they are bound to recur, and each recurrence has
a side of its own. Values are not looked at beyond that.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pilotage.components.datasets import Dataset
from pilotage.core import errors
from pilotage.core.metrics import Task

Rows = npt.NDArray[np.int64]

ROWS_PER_COMBINATION = 5
"""From so many rows a combination of feature values on, equal rows are not taken for copies."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
FOLDS = 3
"""Folds of a search."""


@dataclass(frozen=True)
class Split:
    """Positions of rows, each in ascending order; every row is in exactly one part."""

    train: Rows
    test: Rows


def split(dataset: Dataset, task: Task, test: float) -> Split:
    """Divide `dataset` into a training part and about a fraction `test` of held-out rows.

    Raises:
        DataError: a part would be empty, lack a class that the other has, or hold one class only.
    """
    held_out = latest(dataset.times, test) if dataset.times is not None else _hashed(dataset, task, test)
    parts = Split(train=np.flatnonzero(~held_out), test=np.flatnonzero(held_out))
    if min(parts.train.size, parts.test.size) < 2:
        raise errors.DataError(
            f"Of {dataset.rows} rows {parts.train.size} are left to train and {parts.test.size} to test.",
            remedy="Bring more rows, or change `data.split.test`.",
        )
    if task is Task.CLASSIFICATION:
        _require_classes(dataset, parts)
    return parts


def folds(dataset: Dataset, task: Task, seed: int) -> list[Split]:
    """Divisions of a training part for a search: forward in time where there is one, else stratified.

    Folds that could not score a model, because a class is missing, are left out.

    Raises:
        DataError: no fold is left.
    """
    found = _forward(dataset.times) if dataset.times is not None else _random(dataset, task, seed)
    usable = [fold for fold in found if task is Task.REGRESSION or _has_classes(dataset, fold)]
    usable = [fold for fold in usable if min(fold.train.size, fold.test.size) >= 2]
    if not usable:
        raise errors.DataError(
            f"The {dataset.rows} training rows cannot be divided into folds that hold every class.",
            remedy="Bring more rows of the rare classes, or take `train.search` out of pilot.yaml.",
        )
    return usable


def latest(times: npt.NDArray[Any], test: float) -> npt.NDArray[np.bool_]:
    """Which rows are among the last fraction `test`; no instant is on both sides.

    Raises:
        DataError: all times are the same.
    """
    ordered = np.sort(times)
    if ordered[0] == ordered[-1]:
        raise errors.DataError(
            f"All {times.size} rows have the same `data.time`, {ordered[0]}: none is later than the others.",
            remedy="Name another column, or take `time` out of pilot.yaml for a stratified split.",
        )
    wanted = min(max(round(times.size * (1 - test)), 1), times.size - 1)
    boundary = ordered[wanted]
    if boundary == ordered[0]:
        boundary = ordered[np.searchsorted(ordered, boundary, side="right")]
    held_out: npt.NDArray[np.bool_] = times >= boundary
    return held_out


def _hashed(dataset: Dataset, task: Task, test: float) -> npt.NDArray[np.bool_]:
    place = places(dataset)
    held_out: npt.NDArray[np.bool_] = place < test
    strata = dataset.target if task is Task.CLASSIFICATION else np.zeros(dataset.rows)
    _, members = np.unique(strata, return_inverse=True)
    order = np.lexsort((place, members))
    bounds = np.flatnonzero(np.diff(members[order], prepend=-1, append=-1))
    for start, end in itertools.pairwise(bounds.tolist()):
        rows = order[start:end]
        if rows.size >= 2 and not held_out[rows].any():
            held_out[rows[0]] = True
        elif rows.size >= 2 and held_out[rows].all():
            held_out[rows[-1]] = False
    return held_out


def places(dataset: Dataset) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row that depends on its key, or its feature values and their recurrence."""
    if dataset.keys is not None:
        hashes = np.asarray(pd.util.hash_array(dataset.keys), dtype=np.uint64)
    else:
        hashed = [pd.util.hash_pandas_object(frame, index=False) for frame in dataset.frames()]
        hashes = np.concatenate(hashed).astype(np.uint64)
        if _bound_to_recur(dataset):
            recurrence = pd.Series(hashes).groupby(hashes).cumcount().to_numpy(dtype=np.uint64)
            hashes = hashes + _ODD * recurrence  # the first keeps its place if this begins as the table grows
    return (_mixed(hashes) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _bound_to_recur(dataset: Dataset) -> bool:
    """Whether there are several rows for each combination of values that the features can have."""
    combinations = 1
    for values in dataset.columns.values():
        combinations *= pd.Series(values).nunique(dropna=False)
        if combinations * ROWS_PER_COMBINATION > dataset.rows:
            return False
    return True


def _mixed(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea, Flood, 2014): similar hashes become unrelated."""
    first = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    second = (first ^ (first >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    last: npt.NDArray[np.uint64] = second ^ (second >> np.uint64(31))
    return last


def _require_classes(dataset: Dataset, parts: Split) -> None:
    """Training needs every class; scores need at least two, and of two both."""
    everything = np.unique(dataset.target)
    train, test = np.unique(dataset.target[parts.train]), np.unique(dataset.target[parts.test])
    missing, where = np.setdiff1d(everything, train), "training"
    if not missing.size and test.size < 2:
        missing, where = np.setdiff1d(everything, test), "held-out"
    if not missing.size:
        return
    by_time = dataset.times is not None
    remedy = (
        "Choose a longer period, another `data.split.test`, or take `time` out for a stratified split."
        if by_time
        else "Bring more rows of that class, or leave it out in the source."
    )
    raise errors.DataError(
        f"No row of class `{missing[0]}` is in the {where} part"
        + (", which `data.time` decides." if by_time else "."),
        remedy=remedy,
        classes=[str(name) for name in missing],
    )


def _has_classes(dataset: Dataset, fold: Split) -> bool:
    classes = np.unique(dataset.target).size
    known = np.unique(dataset.target[fold.train]).size
    return known == classes and np.unique(dataset.target[fold.test]).size >= 2


def _forward(times: npt.NDArray[Any]) -> list[Split]:
    """Expanding windows: each fold trains on all that came before the block it is scored on."""
    ordered = np.sort(times)
    cuts = [ordered[times.size * part // (FOLDS + 1)] for part in range(1, FOLDS + 1)]
    ends = [*cuts[1:], ordered[-1] + np.timedelta64(1, "us")]
    return [
        Split(train=np.flatnonzero(times < start), test=np.flatnonzero((times >= start) & (times < end)))
        for start, end in zip(cuts, ends, strict=True)
    ]


def _random(dataset: Dataset, task: Task, seed: int) -> list[Split]:
    """Each class dealt out over the folds in a random order that `seed` fixes."""
    shuffled = np.random.default_rng(seed).permutation(dataset.rows)
    if task is Task.CLASSIFICATION:
        _, members = np.unique(dataset.target, return_inverse=True)
        shuffled = shuffled[np.argsort(members[shuffled], kind="stable")]
    fold = np.empty(dataset.rows, dtype=np.int64)
    fold[shuffled] = np.arange(dataset.rows) % FOLDS
    return [
        Split(train=np.flatnonzero(fold != number), test=np.flatnonzero(fold == number))
        for number in range(FOLDS)
    ]
