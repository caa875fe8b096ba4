"""Whether a stored model says of rows that come as JSON what it says of them as training has them.

Training reads columns of a snapshot, many rows at once; a server reads JSON, a row at a
time or many, in any order. The same held-out rows go both ways: the features have to
be the same, and so do the answers of the stored model and of its inference form,
of which a server takes one. Rows that are likelier to differ come first: those with
missing values, rare categories and the ends of numbers and times. How well a model
predicts is not asked, nor whether the form is right on all held-out rows, which its
compilation asks. What HTTP adds is the server's to test.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pilotage.components import snapshots
from pilotage.components.compilation.estimators import SINGLE_TOLERANCE
from pilotage.components.datasets import Dataset
from pilotage.core import errors, features, forms, models
from pilotage.core.artifacts import Feature, Model, Snapshot
from pilotage.core.embeddings import images
from pilotage.core.features import Array, Columns
from pilotage.core.metrics import Task
from pilotage.core.models import Answering, Prediction
from pilotage.core.registry.clients import INSIDE
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind

logger = logging.getLogger(__name__)

NONE = "none"
FOUND = "found: "
ROWS = 256
"""Held-out rows that go both ways; all where there are fewer."""
ALONE = 16
"""Of them, rows that are asked also one by one."""
_RARE = 4
"""Rows of a feature that are chosen for being rare or extreme."""
_LONGEST = 400


class _Disagreement(Exception):
    """The two ways differ; the message says where, with both values."""


@dataclass(frozen=True)
class _Rows:
    """Rows in both forms."""

    names: list[str]
    """Of rows, as messages name them."""
    trained: Columns
    """As training has them."""
    sent: list[dict[str, Any]]
    """As JSON gives them."""


def check(
    settings: Settings, snapshot: Snapshot, folder: Path, places: npt.NDArray[np.int64], rows: Dataset
) -> str:
    """Send held-out rows both ways; returns `none`, or `found: ` and the first difference.

    Args:
        settings: the installation.
        snapshot: what the model was trained on.
        folder: the model's, complete.
        places: of the held-out rows in the snapshot, ascending.
        rows: these rows as training has them.

    Raises:
        NotFound: the storage does not hold the snapshot.
    """
    model = Model.read(folder / INSIDE)
    chosen = choose(rows.columns, ROWS)
    table = snapshots.take(settings, snapshot, [feature.name for feature in model.features], places[chosen])
    names = [f"row {place} of the snapshot" for place in places[chosen].tolist()]
    try:
        columns = rows.take(chosen).columns  # of all features that the data has, which a model need not
        trained = {feature.name: columns[feature.name] for feature in model.features}
        both = _Rows(names, trained, _as_json(table, model.features))
        served = _served(both, model.features)
        _compare_features(both, served)
        _compare_answers("the stored model", _load(folder, settings), both, served)
        form = forms.open_form(folder, model)
        if form is not None:
            _compare_answers("the inference form", form, both, served)
    except _Disagreement as found:
        reason = " ".join(str(found).split())[:_LONGEST]
        logger.warning("training and serving of %s disagree: %s", model.pilot, reason)
        return f"{FOUND}{reason}"
    return NONE


def _load(folder: Path, settings: Settings) -> Answering:
    try:
        return models.open_predictor(folder, settings)
    except Exception as error:  # an estimator's own code may raise anything
        raise _Disagreement(f"the stored model cannot be loaded: {type(error).__name__}: {error}") from error


# -- rows ------------------------------------------------------------------


def choose(columns: Columns, most: int) -> npt.NDArray[np.int64]:
    """Ascending positions of at most `most` rows: the odd ones of each feature, then rows at equal distances.

    Args:
        columns: of the same `n` rows, at least one.
        most: positive.
    """
    rows = len(next(iter(columns.values())))
    if rows <= most:
        return np.arange(rows)
    odd = [_odd(values) for values in columns.values()]
    ranked = [place for places in zip(*odd, strict=True) for place in places]  # a turn for each feature
    chosen = list(dict.fromkeys(int(place) for place in ranked if place >= 0))[: most // 2]
    spread = np.linspace(0, rows - 1, most).astype(np.int64)
    rest = spread[~np.isin(spread, chosen)]
    kept = rest[np.linspace(0, rest.size - 1, most - len(chosen)).astype(np.int64)]
    return np.unique(np.concatenate([np.array(chosen, dtype=np.int64), kept]))


def _odd(values: Array) -> list[int]:
    """Positions of a missing value, then of the rarest categories or the ends; -1 where there is none."""
    if values.dtype == object:
        listed = values.tolist()
        counts = Counter(listed)
        rare = sorted(counts, key=lambda value: (value is not None, counts[value], str(value)))
        found = [listed.index(value) for value in rare[:_RARE]]
    else:
        order = np.argsort(values, kind="stable")  # missing ones last
        present = values.size - int(np.isnan(values).sum())
        missing = [int(order[-1])] if present < values.size else []
        ends = [0, present - 1, 1][: min(present, _RARE - 1)]
        found = missing + [int(order[place]) for place in ends]
    return (found + [-1] * _RARE)[:_RARE]


def _as_json(table: pa.Table, wanted: Sequence[Feature]) -> list[dict[str, Any]]:
    """The rows as a client sends them, after a trip through JSON's text."""
    columns = {}
    for feature in wanted:
        with _telling(f"feature `{feature.name}`", "to become JSON"):
            values = table.column(feature.name).to_pylist()
            columns[feature.name] = [_plain(value, feature.kind) for value in values]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    parsed: list[dict[str, Any]] = json.loads(json.dumps(rows))
    return parsed


def _plain(value: Any, kind: FeatureKind) -> Any:
    """The value in JSON's terms, a number where `pilotage.core.features` expects one."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value != value:
        return None
    return int(value) if isinstance(value, bool) and kind is FeatureKind.NUMBER else value


def _served(rows: _Rows, wanted: Sequence[Feature]) -> Columns:
    """The columns as a server makes them."""
    try:
        with images.trusted():
            return features.from_rows(wanted, rows.sent)
    except errors.RequestError as error:
        feature, place = str(error.details.get("feature")), int(error.details.get("row", 0))
        raise _Disagreement(
            f"feature `{feature}` of {rows.names[place]} is {_show(rows.trained[feature], place)} in"
            f" training, and serving refuses {rows.sent[place].get(feature)!r:.60}"
        ) from error


# -- comparing -------------------------------------------------------------


def _compare_features(rows: _Rows, served: Columns) -> None:
    for name, trained in rows.trained.items():
        sent = served[name]
        differ = [
            place
            for place, (left, right) in enumerate(zip(trained.tolist(), sent.tolist(), strict=True))
            if left != right and not (left != left and right != right)
        ]
        if differ or trained.dtype != sent.dtype:
            place = differ[0] if differ else 0
            raise _Disagreement(
                f"feature `{name}` of {rows.names[place]} is {_show(trained, place)} in training"
                f" and {_show(sent, place)} in serving"
            )


def _show(values: Array, place: int) -> str:
    return f"{values.tolist()[place]!r:.60} ({values.dtype})"


def _compare_answers(who: str, predictor: Answering, rows: _Rows, served: Columns) -> None:
    """One answer as training has the rows; then as served, in another order, and each alone."""
    model = predictor.model
    with _telling(who, "as training has the rows"):
        trained = predictor.predict(_copy(rows.trained))
    count = len(rows.names)
    every = np.arange(count)[::-1]
    alone = np.unique(np.linspace(0, count - 1, ALONE).astype(np.int64))
    asked = [("together", every), *(("alone", np.array([place])) for place in alone.tolist())]
    for how, places in asked:
        with _telling(who, f"{how} in serving"):
            found = predictor.predict({name: values[places] for name, values in served.items()})
            differences = list(_differences(trained, found, places, model))
        if differences:
            place, before, now = min(differences)
            raise _Disagreement(
                f"{who} says {before} of {rows.names[place]} in training and {now} {how} in serving,"
                f" from the same features; {len(differences)} of {places.size} rows differ"
            )


def _copy(columns: Columns) -> Columns:
    """Columns that an estimator may write into."""
    return {name: values.copy() for name, values in columns.items()}


@contextmanager
def _telling(who: str, how: str) -> Iterator[None]:
    try:
        yield
    except _Disagreement:
        raise
    except Exception as error:  # an estimator's own code may raise anything
        raise _Disagreement(f"{who} fails {how}: {type(error).__name__}: {error}") from error


def _differences(
    trained: Prediction, found: Prediction, places: npt.NDArray[np.int64], model: Model
) -> Iterator[tuple[int, str, str]]:
    """Place of each row that is answered otherwise, and both answers.

    Args:
        trained: of all rows.
        found: of the rows at `places`, in that order.
        places: of rows.
        model: what is known of it.
    """
    if found.predictions.shape != places.shape:
        raise _Disagreement(f"{found.predictions.shape} answers are given for {places.size} rows")
    before, now = _numbers(trained)[places], _numbers(found)
    size = np.ones(before.shape)
    if trained.probabilities is None:
        size = np.maximum(np.abs(before), np.abs(before).mean() or 1.0)
    apart = ~(np.abs(before - now) <= SINGLE_TOLERANCE * size)  # NaN is apart
    if trained.probabilities is None and model.task is Task.CLASSIFICATION:
        apart[:, 0] |= trained.predictions[places] != found.predictions
    for row in np.flatnonzero(apart.any(axis=1)).tolist():
        cell, place = int(apart[row].argmax()), int(places[row])
        yield (
            place,
            _answer(trained, place, cell, model),
            _answer(found, row, cell, model),
        )


def _answer(prediction: Prediction, row: int, cell: int, model: Model) -> str:
    """An answer in words, with the number that differs."""
    answer = prediction.predictions.tolist()[row]
    if model.task is Task.REGRESSION:
        return f"{answer:.9g}"
    of = "" if prediction.probabilities is None else f" of {model.classes[cell]!r}"
    return f"{answer!r} (score{of} {_numbers(prediction)[row, cell]:.6g})"


def _numbers(prediction: Prediction) -> npt.NDArray[np.float64]:
    """What is compared of each row, shape `(n, k)`: probabilities, or else the score."""
    if prediction.probabilities is not None:
        return prediction.probabilities
    return np.asarray(prediction.score, dtype=np.float64).reshape(-1, 1)
