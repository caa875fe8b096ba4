"""From an encoding and a graph to what is stored, judged and served like any model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from pilotage.components.compilation import graphs
from pilotage.components.compilation.estimators import Body, Ensemble
from pilotage.core.artifacts import Link, Model
from pilotage.core.graph_models import GraphClassifier, GraphRegressor
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction, Predictor


def of_graph(
    encode: Any, graph: bytes, base: npt.NDArray[Any], link: Link, model: Model, *, single: bool = False
) -> Predictor:
    """A predictor of a fitted encoding with `graph` behind it; `model` says what it predicts."""
    last = _last(graph, base, link, model, single=single)
    return Predictor(Pipeline([("encode", encode), ("model", last)]), model)


def of_body(encode: Any, body: Body, width: int, model: Model, *, single: bool = False) -> Predictor:
    """A predictor of a fitted encoding of `width` columns with the tables `body` behind it.

    `single` writes it in 32 bits.
    """
    return of_graph(
        encode, _graph(body, width, single=single), body.base, body.link, model, single=body.single
    )


def answers(body: Body, matrix: npt.NDArray[np.float64], model: Model) -> Prediction:
    """What the tables `body` say of an encoded matrix."""
    graph = _graph(body, matrix.shape[1], single=False)
    last = _last(graph, body.base, body.link, model, single=body.single)
    found: Prediction = Predictor(last, model).predict_frame(matrix)  # type: ignore[arg-type]
    return found


def sums(body: Body, matrix: npt.NDArray[np.float64], model: Model) -> npt.NDArray[np.float64]:
    """What the tables `body` say of an encoded matrix before the link, shape `(n, outputs)`."""
    graph = _graph(body, matrix.shape[1], single=False)
    last = _last(graph, body.base, body.link, model, single=body.single)
    found: npt.NDArray[np.float64] = last.outputs(matrix)
    return found


def in_32_bits(body: Body, width: int) -> bytes:
    """The graph of the tables `body` in 32 bits."""
    return _graph(body, width, single=True)


def _graph(body: Body, width: int, *, single: bool) -> bytes:
    return graphs.graph(body.part, width, body.base.size, single=single)


def _last(graph: bytes, base: npt.NDArray[Any], link: Link, model: Model, *, single: bool) -> Any:
    numbers, held = np.frombuffer(graph, dtype=np.uint8), np.asarray(base, dtype=np.float64)
    if model.task is Task.REGRESSION:
        return GraphRegressor(numbers, held, str(link), single)
    text = any(isinstance(value, str) for value in model.classes)
    classes = np.array(model.classes, dtype=object if text else None)
    return GraphClassifier(numbers, held, str(link), single, classes)


def is_of_trees(body: Body | None) -> bool:
    """Whether the tables are trees."""
    return body is not None and isinstance(body.part, Ensemble)
