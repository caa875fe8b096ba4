"""Training rows with synthetic ones behind them, and what was measured of these.

Real rows come first and keep their order. Only what fits an estimator takes the result: splits,
folds' held-out sides, profiles, samples and scores take the real rows, which are not touched here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pilotage.components.datasets import Dataset
from pilotage.components.synthesis import fidelities, leakages, plans, synthesizers, utilities
from pilotage.components.synthesis.synthesizers import Fitted
from pilotage.core import errors
from pilotage.core.artifacts import Leakage, Scalar, Synthetic
from pilotage.core.features import category_text
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind, PilotSpec, Synthesizer

logger = logging.getLogger(__name__)

MOST_RATIO = 20
"""Synthetic rows for each real one, at most."""
_LEAST_HALF = 4
"""Rows of a class in the half that measuring fits on."""
_EARLY = "early_stopping"
_ENCODED = (FeatureKind.TEXT, FeatureKind.IMAGE)
Augmenter = Callable[[Dataset], Dataset]


def check(spec: PilotSpec) -> None:
    """Raise EstimatorError where an estimator would hold synthetic rows out by itself."""
    if spec.data.augment is not None and spec.train.params.get(_EARLY, False) is not False:
        raise errors.EstimatorError(
            f"`train.params.{_EARLY}` holds rows out of what it is fitted on, some of which are synthetic "
            "with `data.augment`.",
            remedy=f"Leave `{_EARLY}` out, or take `data.augment` out.",
        )


def add(
    spec: PilotSpec, rows: Dataset, *, strict: bool = True
) -> tuple[Dataset, dict[Any, int], Fitted | None]:
    """`rows` with the synthetic rows that the pilot wants behind them, and how many of each class these are.

    Args:
        spec: the pilot.
        rows: real training rows, the only ones that are learned from.
        strict: whether a class with too few rows is an error; else it gets no more.

    Raises:
        DataError: a class has too few rows, is not there, or far too many rows are asked for.
    """
    wanted, seed = spec.data.augment, spec.train.seed
    if wanted is None:
        return rows, {}, None
    classes = synthesizers.classes_of(rows, spec.task)
    try:
        counts = plans.counts(wanted, classes)
    except errors.DataError:
        if strict:
            raise
        return rows, {}, None  # a fold may lack a class
    least = synthesizers.LEAST_ROWS
    if not strict or wanted.rows:
        counts = {name: added for name, added in counts.items() if classes[name] >= least}
    _bound(sum(counts.values()), rows.rows)
    if not counts:
        logger.info("no synthetic rows are needed")
        return rows, {}, None
    fitted = synthesizers.fit(rows, spec.task, wanted.method, seed, wanted=set(counts))
    return joined(rows, fitted.draw(counts, seed)), counts, fitted


def augmenter(spec: PilotSpec) -> Augmenter:
    """What a search fits each fold's training side on: learned from that side alone."""
    return lambda rows: add(spec, rows, strict=False)[0]


def _bound(added: int, rows: int) -> None:
    if added > MOST_RATIO * rows:
        raise errors.DataError(
            f"`data.augment` asks for {added:,} synthetic rows beside {rows:,} real ones, at most "
            f"{MOST_RATIO} for each can be.",
            remedy="Ask for a smaller share, or fewer rows.",
        )


def joined(real: Dataset, synthetic: Dataset) -> Dataset:
    """Both, the real rows first; without times and keys, which synthetic rows do not have."""
    target = np.concatenate([real.target, synthetic.target.astype(real.target.dtype)])
    columns = {
        name: np.concatenate([values, synthetic.columns[name]]) for name, values in real.columns.items()
    }
    return Dataset(real.features, columns, target)


def describe(
    spec: PilotSpec,
    folder: Path,
    counts: Mapping[Any, int],
    real: Dataset,
    rest: Dataset,
    fitted: Fitted | None,
    positive: Scalar | None,
) -> Synthetic:
    """What is said of synthetic rows, with all that is measured.

    Args:
        spec: the pilot.
        folder: its folder.
        counts: how many of each class.
        real: the rows that `fitted` learned from.
        rest: held-out rows, on which models are judged.
        fitted: what made them; None where none were needed.
        positive: of two classes.
    """
    seed = spec.train.seed
    method = spec.data.augment.method if spec.data.augment else Synthesizer.COPULA
    if fitted is None:
        notes = ("no synthetic rows were needed",)
        return Synthetic(method=method, rows=0, seed=seed, fitted_rows=0, notes=notes)
    classes = {
        name: rows
        for name, rows in synthesizers.classes_of(real, spec.task).items()
        if name is None or rows >= synthesizers.LEAST_ROWS
    }
    alike = fitted.draw(plans.spread(min(real.rows, fidelities.MOST_ROWS), classes), seed + 1)
    kept = real if len(classes) == len(synthesizers.classes_of(real, spec.task)) else _of(real, classes)
    utility, note = None, "what they are good for was not measured: texts and images are left empty in them"
    if not any(feature.kind in _ENCODED for feature in real.features):
        utility, note = utilities.try_measure(spec, folder, kept, alike, rest, positive)
    leakage, told = leak(spec, real, set(counts))
    return Synthetic(
        method=method,
        rows=sum(counts.values()),
        classes={str(category_text(name)): rows for name, rows in counts.items() if name is not None},
        seed=seed,
        fitted_rows=fitted.rows,
        fidelity=fidelities.measure(kept, alike, spec.task, seed),
        utility=utility,
        leakage=leakage,
        notes=tuple(text for text in (*fitted.notes, note, told) if text),
    )


def leak(spec: PilotSpec, real: Dataset, wanted: set[Any]) -> tuple[Leakage | None, str]:
    """What the method gives away of rows that it is fitted on: fitted on one half, beside the other.

    The halves are drawn from the same rows, so nothing but having been fitted on tells them apart. Of the
    measures over all classes and over each that is wanted the worst is taken.
    """
    method = spec.data.augment.method if spec.data.augment else Synthesizer.COPULA
    halves = _halves(real, spec.task, spec.train.seed)
    members, control = (real.take(rows) for rows in halves)
    try:
        fitted = synthesizers.fit(members, spec.task, method, spec.train.seed, least=_LEAST_HALF)
    except errors.DataError as error:
        return None, f"what is given away was not measured: {error.message}"
    found = []
    classes = {
        name: rows
        for name, rows in synthesizers.classes_of(members, spec.task).items()
        if name is None or rows >= _LEAST_HALF
    }
    size = min(members.rows, leakages.MOST_ROWS)
    parts: list[dict[Any, int]] = [classes, *({name: classes[name]} for name in wanted if name in classes)]
    for part in parts if spec.task is Task.CLASSIFICATION else parts[:1]:
        made = fitted.draw(plans.spread(size, part), spec.train.seed + 2)
        inside, outside = (members, control) if part is classes else (_of(members, part), _of(control, part))
        measured = leakages.measure(inside, outside, made, spec.task, spec.train.seed)
        if measured is not None:
            found.append(measured)
    if not found:
        return None, f"what is given away was not measured: it takes {2 * leakages.LEAST_CONTROL} rows"
    return max(found, key=lambda each: each.membership.value or 0.0), ""


def _of(dataset: Dataset, classes: Mapping[Any, int]) -> Dataset:
    return dataset.take(np.flatnonzero(np.isin(dataset.target, list(classes))))


def _halves(
    dataset: Dataset, task: Task, seed: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Two halves at random, each class divided."""
    shuffled = np.random.default_rng(seed).permutation(dataset.rows)
    if task is Task.CLASSIFICATION:
        _, members = np.unique(dataset.target, return_inverse=True)
        shuffled = shuffled[np.argsort(members[shuffled], kind="stable")]
    return np.sort(shuffled[::2]), np.sort(shuffled[1::2])
