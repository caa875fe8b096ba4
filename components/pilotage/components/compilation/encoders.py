"""The tables of a fitted encoding, found by asking the fitted encoders.

A category's code is what the encoder gives for it, so nothing here repeats how
scikit-learn groups rare or unknown ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from pilotage.core import errors
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
from pilotage.core.encoders import Embedded, TimeParts

_UNSEEN = "\x00 no category has this name \x00"
_PARTS = 4


def inputs(encoding: Any) -> tuple[Input, ...]:
    """What fills each column that a fitted `encoding` gives, in order.

    Raises:
        EstimatorError: it has a part that cannot be written as a table.
    """
    if not isinstance(encoding, ColumnTransformer):
        raise _unknown(encoding)
    found: list[Input] = []
    for _, part, names in encoding.transformers_:
        if part != "drop" and len(names):
            found += _part(part, [str(name) for name in names])
    return tuple(found)


def _part(part: Any, names: list[str]) -> list[Input]:
    if part == "passthrough" or (isinstance(part, FunctionTransformer) and part.func is None):
        return [NumberInput(feature=name) for name in names]
    if isinstance(part, TimeParts):
        return [TimeInput(feature=name) for name in names]
    if isinstance(part, Embedded):
        return [EmbeddingInput(feature=names[0], encoder=part.encoder, width=part.width)]
    if isinstance(part, MissingIndicator) and part.features == "all":
        return [MissingInput(feature=name) for name in names]
    if isinstance(part, OrdinalEncoder):
        return _codes(part, names)
    if isinstance(part, OneHotEncoder):
        return _one_hot(part, names)
    if isinstance(part, Pipeline):
        return _scaled([step for _, step in part.steps], names)
    raise _unknown(part)


def _scaled(steps: list[Any], names: list[str]) -> list[Input]:
    if isinstance(steps[0], Embedded):
        return [_scaled_vector(steps, names[0])]
    in_time = isinstance(steps[0], TimeParts)
    kinds = [type(step) for step in steps[in_time:]]
    if kinds != [SimpleImputer, StandardScaler]:
        raise _unknown(steps[-1])
    imputer, scaler = steps[in_time:]
    if imputer.add_indicator or not (scaler.with_mean and scaler.with_std):
        raise _unknown(imputer)
    scalings = [
        Scaling(fill=float(fill), mean=float(mean), scale=float(scale))
        for fill, mean, scale in zip(imputer.statistics_, scaler.mean_, scaler.scale_, strict=True)
    ]
    if not in_time:
        return [
            NumberInput(feature=name, scaling=scaling) for name, scaling in zip(names, scalings, strict=True)
        ]
    return [
        TimeInput(feature=name, scaling=tuple(scalings[start : start + _PARTS]))
        for start, name in zip(range(0, len(scalings), _PARTS), names, strict=True)
    ]


def _scaled_vector(steps: list[Any], name: str) -> EmbeddingInput:
    encoder, *others = steps
    if [type(step) for step in others] != [StandardScaler] or not (
        others[0].with_mean and others[0].with_std
    ):
        raise _unknown(steps[-1])
    return EmbeddingInput(
        feature=name,
        encoder=encoder.encoder,
        width=encoder.width,
        mean=tuple(others[0].mean_.tolist()),
        scale=tuple(others[0].scale_.tolist()),
    )


def _codes(encoder: OrdinalEncoder, names: list[str]) -> list[Input]:
    found: list[Input] = []
    for position, name in enumerate(names):
        asked, answers = _answers(encoder, names, position)
        codes = [None if math.isnan(code) else float(code) for code in answers[:, position]]
        known = {
            category: code
            for category, code in zip(asked[2:], codes[2:], strict=True)
            if code is not None and code != codes[1]
        }
        if any(code is None for code in codes[2:]):
            raise errors.EstimatorError(f"`{name}` has a category without a code.")
        found.append(CodeInput(feature=name, codes=known, missing=codes[0], unseen=codes[1]))
    return found


def _one_hot(encoder: OneHotEncoder, names: list[str]) -> list[Input]:
    found: list[Input] = []
    groups = np.array(
        [name for name, width in zip(names, _widths(encoder), strict=True) for _ in range(width)],
        dtype=object,
    )
    for position, name in enumerate(names):
        asked, answers = _answers(encoder, names, position)
        own = answers[:, groups == name]
        hot = [int(row.argmax()) if row.any() else None for row in own]
        known = {
            category: place
            for category, place in zip(asked[2:], hot[2:], strict=True)
            if place is not None and place != hot[1]
        }
        if any(place is None for place in hot[2:]):
            raise errors.EstimatorError(f"`{name}` has a category without a column.")
        found.append(
            OneHotInput(feature=name, width=own.shape[1], positions=known, missing=hot[0], unseen=hot[1])
        )
    return found


def _widths(encoder: OneHotEncoder) -> list[int]:
    rare = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    if encoder.drop is not None:
        raise _unknown(encoder)
    return [
        len(categories) if few is None else len(categories) - len(few) + 1
        for categories, few in zip(encoder.categories_, rare, strict=True)
    ]


def _answers(encoder: Any, names: list[str], position: int) -> tuple[list[Any], Any]:
    """What `encoder` gives for a missing value, an unseen one and each known one of one feature."""
    known = [value for value in encoder.categories_[position] if isinstance(value, str)]
    asked = [None, _UNSEEN, *known]
    frame = pd.DataFrame(
        {
            name: pd.Series(
                asked if place == position else [encoder.categories_[place][0]] * len(asked), dtype=object
            )
            for place, name in enumerate(names)
        }
    )
    answers = encoder.transform(frame)
    return asked, answers.toarray() if hasattr(answers, "toarray") else np.asarray(answers)


def _unknown(part: Any) -> errors.EstimatorError:
    return errors.EstimatorError(f"{type(part).__name__} as it is set up cannot be written as a table.")
