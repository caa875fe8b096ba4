"""What an inference answer holds: its output tensors, and which of them a request wants in which way.

How tensors are written, in JSON, in the binary layout or in messages, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pilotage.core import errors
from pilotage.core.artifacts import Model
from pilotage.core.metrics import Task
from pilotage.serving.protocols import batches, codecs
from pilotage.serving.protocols.batches import Answer
from pilotage.serving.protocols.binaries import BYTES, Array

PREDICTION = "prediction"
PROBABILITIES = "probabilities"


class Wanted(NamedTuple):
    """An output that a request asks for."""

    name: str
    binary: bool
    """Whether in the binary layout."""


class Output(NamedTuple):
    """One output tensor."""

    name: str
    datatype: str
    values: Array
    """Of the tensor's shape; elements of BYTES as text."""
    classes: tuple[str, ...] = ()
    """What the columns of probabilities stand for."""


def described(model: Model) -> list[dict[str, Any]]:
    """The outputs in a model's metadata."""
    found: list[dict[str, Any]] = [{"name": PREDICTION, "datatype": datatype(model), "shape": [-1]}]
    if model.task is Task.CLASSIFICATION:
        found.append(
            {
                "name": PROBABILITIES,
                "datatype": "FP64",
                "shape": [-1, len(model.classes)],
                "parameters": {"classes": list(class_names(model))},
            }
        )
    return found


def datatype(model: Model) -> str:
    """The datatype of predictions."""
    if model.task is Task.REGRESSION:
        return "FP64"
    kinds = {type(value) for value in model.classes}
    return {bool: "BOOL", int: "INT64", float: "FP64"}.get(kinds.pop(), BYTES) if len(kinds) == 1 else BYTES


def class_names(model: Model) -> tuple[str, ...]:
    """The classes as text, in the order of the columns of probabilities."""
    return tuple(str(value) for value in model.classes)


def wanted(
    asked: Iterable[tuple[Any, Mapping[str, Any]]], parameters: Mapping[str, Any], model: Model
) -> tuple[Wanted, ...]:
    """The outputs that a request wants: those it names, each with its parameters, or all.

    Raises:
        RequestError: an output is not known, named twice, or asked for in a way that is not offered.
    """
    known = tuple(output["name"] for output in described(model))
    binary = flag(parameters, "binary_data_output", default=False)
    found: dict[str, Wanted] = {}
    for name, own in asked:
        if name not in known or name in found:
            problem = "twice" if name in found else f"expected {' or '.join(known)}"
            raise errors.RequestError(f"`outputs` names {str(name)[:60]}, {problem}.", key="outputs")
        if own.get("classification"):
            raise errors.RequestError(
                f"Output `{name}` asks for `classification`, which is not offered.",
                remedy=f"Ask for `{PROBABILITIES}`; its parameter `classes` names the columns.",
                key="outputs",
            )
        found[name] = Wanted(name, flag(own, "binary_data", default=binary))
    return tuple(found.values()) or tuple(Wanted(name, binary) for name in known)


def flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A parameter that is true or false.

    Raises:
        RequestError: it is something else.
    """
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise errors.RequestError(
            f"Parameter `{name}` is {batches.kind_of(value)}, expected true or false.", key=name
        )
    return value


def of_answer(answer: Answer, names: Sequence[str]) -> list[Output]:
    """The output tensors of an answer with the given names, in their order."""
    made = {PREDICTION: Output(PREDICTION, datatype(answer.model), _predictions(answer))}
    shares = answer.prediction.probabilities
    if shares is not None:
        made[PROBABILITIES] = Output(PROBABILITIES, "FP64", shares, class_names(answer.model))
    return [made[name] for name in names if name in made]


def _predictions(answer: Answer) -> Array:
    kind = datatype(answer.model)
    values = codecs.values_of(answer.prediction)
    if kind != BYTES:
        return np.asarray(values)
    return np.array([str(value) for value in values], dtype=object)
