"""From a model's columns to the one matrix that its graph takes.

Numbers are computed in float64 with the operations of the fitted encoders in
their order, so that the matrix is theirs bit for bit. A category is one look-up.
What the tables hold is not decided here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import embeddings
from pilotage.core.artifacts import (
    CodeInput,
    EmbeddingInput,
    Input,
    MissingInput,
    NumberInput,
    OneHotInput,
    Scaling,
    TimeInput,
)
from pilotage.core.features import Array, Columns, time_parts

Matrix = npt.NDArray[np.float64]
Fill = Callable[[Matrix, Array], None]

_TIME_PARTS = 4


class _Codes(dict[Any, float]):
    """Codes by category; one that is not there has the code `unseen`."""

    def __init__(self, codes: Mapping[str, float], missing: float, unseen: float) -> None:
        super().__init__(codes)
        self[None] = missing
        self._unseen = unseen

    def __missing__(self, category: object) -> float:
        return self._unseen


class Encoder:
    """Fills matrices for the inputs of one form; safe to use from several threads."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        """Prepare for `inputs`.

        Raises:
            NotFound: an encoder of texts or images was not opened in this process.
        """
        self._plain: list[tuple[str, int]] = []
        """Features that are copied as they are, with their column."""
        self._filled: list[tuple[str, slice, Fill]] = []
        """All others, with their columns and what fills them."""
        self.width = 0
        for entry in inputs:
            self._add(entry)

    def _add(self, entry: Input) -> None:
        start = self.width
        if isinstance(entry, NumberInput) and entry.scaling is None:
            self.width += 1
            self._plain.append((entry.feature, start))
            return
        if isinstance(entry, NumberInput) and entry.scaling is not None:
            width, fill = 1, _scaled_number(entry.scaling)
        elif isinstance(entry, TimeInput):
            width, fill = _TIME_PARTS, _time(entry.scaling)
        elif isinstance(entry, CodeInput):
            width, fill = 1, _code(_codes(entry))
        elif isinstance(entry, OneHotInput):
            width, fill = entry.width, _one_hot(_positions(entry))
        elif isinstance(entry, MissingInput):
            width, fill = 1, _missing
        elif isinstance(entry, EmbeddingInput):
            width, fill = entry.width, _embedding(entry)
        self.width += width
        self._filled.append((entry.feature, slice(start, self.width), fill))

    def matrix(self, columns: Columns, rows: int) -> Matrix:
        """The graph's input, shape `(rows, width)`; the columns may come in any order."""
        matrix = np.empty((rows, self.width))
        for name, position in self._plain:
            matrix[:, position] = columns[name]
        for name, where, fill in self._filled:
            fill(matrix[:, where], columns[name])
        return matrix


def _codes(entry: CodeInput) -> _Codes:
    missing = math.nan if entry.missing is None else entry.missing
    unseen = math.nan if entry.unseen is None else entry.unseen
    return _Codes(entry.codes, missing, unseen)


def _positions(entry: OneHotInput) -> _Codes:
    """Columns by category; -1 is no column."""
    missing = -1 if entry.missing is None else entry.missing
    unseen = -1 if entry.unseen is None else entry.unseen
    return _Codes(entry.positions, missing, unseen)


def _code(codes: _Codes) -> Fill:
    look_up = codes.__getitem__

    def fill(out: Matrix, column: Array) -> None:
        out[:, 0] = list(map(look_up, column.tolist()))

    return fill


def _one_hot(positions: _Codes) -> Fill:
    look_up = positions.__getitem__

    def fill(out: Matrix, column: Array) -> None:
        out[:] = 0.0
        hot = np.array(list(map(look_up, column.tolist())), dtype=np.intp)
        rows = np.flatnonzero(hot >= 0)
        out[rows, hot[rows]] = 1.0

    return fill


def _missing(out: Matrix, column: Array) -> None:
    if column.dtype == object:
        out[:, 0] = [value is None for value in column.tolist()]
    else:
        out[:, 0] = np.isnat(column) if column.dtype.kind == "M" else np.isnan(column)


def _embedding(entry: EmbeddingInput) -> Fill:
    encoder = embeddings.embedding(entry.encoder)

    mean, scale = np.array(entry.mean), np.array(entry.scale)

    def fill(out: Matrix, column: Array) -> None:
        out[:] = encoder.vectors(column)
        if mean.size:
            out -= mean
            out /= scale

    return fill


def _scaled_number(scaling: Scaling) -> Fill:
    def fill(out: Matrix, column: Array) -> None:
        out[:, 0] = column
        _scale(out[:, 0], scaling)

    return fill


def _time(scalings: Sequence[Scaling] | None) -> Fill:
    def fill(out: Matrix, column: Array) -> None:
        out[:] = time_parts(column)
        for position, scaling in enumerate(scalings or ()):
            _scale(out[:, position], scaling)

    return fill


def _scale(column: Matrix, scaling: Scaling) -> None:
    column[np.isnan(column)] = scaling.fill
    column -= scaling.mean
    column /= scaling.scale
