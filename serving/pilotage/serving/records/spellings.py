"""How labels are spelled, and which of them a model understands.

A class may be sent as JSON has it, as pandas prints it, or as the row log spells
predictions. What a label is compared with, and whether it is kept, is for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pilotage.core.artifacts import Model, Scalar
from pilotage.core.features import category_text
from pilotage.core.metrics import Task

Reader = Callable[[str], float]
"""A label's text as the position of its class, or as a number; KeyError or ValueError where it is neither."""


@dataclass(frozen=True)
class Unknown:
    """A label that stands for no class of a model, or for no number."""

    label: str
    rows: int
    first: int
    """Position of the first of its rows."""


def order_of(model: Model) -> list[Scalar]:
    """The classes with the positive one of two last."""
    if model.positive is None or len(model.classes) != 2:
        return list(model.classes)
    return [*(value for value in model.classes if value != model.positive), model.positive]


def reader(model: Model) -> Reader:
    """What reads the labels of a model: positions are those of `order_of`."""
    if model.task is Task.REGRESSION:
        return _number
    positions: dict[str, float] = {}
    for position, value in enumerate(order_of(model)):
        for text in _spellings(value):
            positions.setdefault(text, float(position))
    return lambda text: positions[text.strip()]


def or_nan(read: Reader, text: str) -> float:
    """What `read` makes of the text, NaN where it does not understand it."""
    try:
        return read(text)
    except (KeyError, ValueError):
        return float("nan")


def unknown(labels: Sequence[str], model: Model) -> list[Unknown]:
    """Those of the labels that the model does not understand, each once, in order of their first rows."""
    read = reader(model)
    understood: dict[str, bool] = {}
    rows: dict[str, list[int]] = {}
    for position, text in enumerate(labels):
        known = understood.get(text)
        if known is None:
            known = understood[text] = not np.isnan(or_nan(read, text))
        if not known:
            rows.setdefault(text, [0, position])[0] += 1
    return [Unknown(text, count, first) for text, (count, first) in rows.items()]


def _spellings(value: Scalar) -> list[str]:
    """The texts that stand for class `value`, the exact one first."""
    texts = [str(category_text(value)), str(value)]
    if isinstance(value, bool):
        texts += ["True", "TRUE", "1", "1.0"] if value else ["False", "FALSE", "0", "0.0"]
    elif isinstance(value, (int, float)) and float(value).is_integer():
        texts += [str(int(value)), str(float(value))] + (
            [["false", "true"][int(value)]] if value in (0, 1) else []
        )
    return texts


def _number(text: str) -> float:
    value = float(text)
    return value if np.isfinite(value) else np.nan
