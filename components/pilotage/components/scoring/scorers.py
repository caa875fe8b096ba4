"""A version as batch scoring asks it, and how its answers are written.

Where rows come from and where answers go is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pilotage.components.scoring.readings import Reader
from pilotage.components.sources.batches import Batch
from pilotage.core import embeddings, errors, forms, models
from pilotage.core.artifacts import ColumnType, Model, Snapshot
from pilotage.core.embeddings import Embedding
from pilotage.core.features import Columns, category_text
from pilotage.core.metrics import Task
from pilotage.core.models import Answering, Prediction
from pilotage.core.personal.replacements import Replacer
from pilotage.core.registry import Registered, Registry
from pilotage.core.registry.clients import INSIDE
from pilotage.core.settings import Settings

_CALL_ROWS = 1 << 14
"""Rows that the model is asked for at once: their matrix fits into a processor's cache."""


@dataclass(frozen=True)
class Scorer:
    """A version, and how its answers are written."""

    answering: Answering
    model: Model
    replacer: Replacer | None
    version: int
    types: dict[str, ColumnType]
    graph: str | None
    encoders: tuple[Embedding, ...] = ()
    """Held as long as it scores."""

    @classmethod
    def of(cls, registry: Registry, settings: Settings, registered: Registered) -> Scorer:
        place = registry.folder(registered)
        model = Model.read(place / INSIDE)
        encoders = embeddings.open_all(model.encoders, settings)
        form = forms.open_form(place, model)
        types: dict[str, ColumnType] = {}
        with suppress(errors.NotFound):
            snapshot = Snapshot.read(registry.run_file(registered.run, Snapshot.FILE))
            types = {column.name: column.type for column in snapshot.columns}
        return cls(
            answering=form or models.open_predictor(place, settings),
            model=model,
            replacer=Replacer.of(model.personal, settings, model.personal_key),
            version=registered.version,
            types=types,
            graph=form.form.graph if form else None,
            encoders=encoders,
        )

    @property
    def _chances(self) -> tuple[str, ...]:
        """Columns of the probabilities of more than two classes."""
        if len(self.model.classes) < 3:
            return ()
        return tuple(f"probability_{category_text(value)}" for value in self.model.classes)

    def schema(self, key: str | None) -> pa.Schema:
        """Columns of the outcome."""
        fields = [] if key is None else [(key, pa.string())]
        fields.append(("prediction", _arrow_type(self.model)))
        if self.model.task is Task.CLASSIFICATION:
            fields.append(("score", pa.float64()))
        fields += [(name, pa.float64()) for name in self._chances]
        return pa.schema([*fields, ("version", pa.int32())])

    def table(self, found: Sequence[Prediction], keys: pa.ChunkedArray | None, key: str | None) -> pa.Table:
        """The outcome for rows that were asked for in several calls."""
        schema = self.schema(key)
        predictions = np.concatenate([each.predictions for each in found])
        columns: list[Any] = [] if keys is None else [keys]
        columns.append(pa.array(predictions.tolist(), schema.field("prediction").type))
        if self.model.task is Task.CLASSIFICATION:
            columns.append(pa.array(np.concatenate([each.score for each in found])))
        if self._chances:
            chances = [each.probabilities for each in found]
            for place in range(len(self._chances)):
                columns.append(
                    pa.nulls(predictions.size, pa.float64())
                    if chances[0] is None
                    else pa.array(np.concatenate([each[:, place] for each in chances if each is not None]))
                )
        columns.append(pa.array(np.full(predictions.size, self.version, dtype=np.int32)))
        return pa.Table.from_arrays(columns, schema=schema)

    def score(self, reader: Reader, batches: Sequence[Batch], key: str | None) -> pa.Table:
        """The outcome for the rows of `batches`, with the values of column `key` if that is given.

        Raises:
            DataError: a value is not what the model takes; names file, row and column.
        """
        columns = _joined([reader.columns(batch) for batch in batches])
        if self.replacer is not None:
            columns = self.replacer.columns(columns)
        found = [self.answering.predict(some) for some in _slices(columns)]
        keys = None if key is None else pa.chunked_array([reader.keys(key, batch) for batch in batches])
        if keys is not None and key is not None and self.replacer is not None:
            keys = pa.chunked_array([pa.array(self.replacer.ids(key, keys.to_pylist()), pa.string())])
        return self.table(found, keys, key)


def _joined(found: Sequence[Columns]) -> Columns:
    """One set of columns; calls then do not depend on how files cut their rows, nor their last digits."""
    return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}


def _slices(columns: Columns) -> Iterator[Columns]:
    rows = next(iter(columns.values())).shape[0]
    for start in range(0, rows, _CALL_ROWS):
        yield {name: column[start : start + _CALL_ROWS] for name, column in columns.items()}


def _arrow_type(model: Model) -> pa.DataType:
    if model.task is Task.REGRESSION:
        return pa.float64()
    for kind, arrow in ((bool, pa.bool_()), (str, pa.string())):
        if all(isinstance(value, kind) for value in model.classes):
            return arrow
    whole = all(isinstance(value, int) for value in model.classes)
    return pa.int64() if whole else pa.float64()
