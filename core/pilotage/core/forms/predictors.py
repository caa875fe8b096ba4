"""Opens a version's inference form and predicts with it.

One onnxruntime session a form, on the calling thread: concurrency is the
server's business, and a second thread made small batches slower. The session
keeps no memory between calls.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors, models
from pilotage.core.artifacts import InferenceForm, Link, Model
from pilotage.core.features import Columns
from pilotage.core.forms.encodings import Encoder
from pilotage.core.forms.sessions import DOUBLE, logistic, open_session, softmax
from pilotage.core.metrics import Task
from pilotage.core.models import Prediction

logger = logging.getLogger(__name__)

FOLDER = models.FORM
"""Inside a model folder."""
GRAPH = "model.onnx"

_Numbers = npt.NDArray[np.float64]


class FormPredictor:
    """A model's inference form, ready to answer any number of threads."""

    def __init__(self, form: InferenceForm, graph: bytes, model: Model) -> None:
        """Load `graph`, the content of `model.onnx`.

        Raises:
            DataError: onnxruntime cannot run it, or it does not fit the form.
        """
        self.form = form
        self.model = model
        self._encoder = Encoder(form.inputs)
        self._first = form.inputs[0].feature
        self._session = open_session(graph)
        entry = self._session.get_inputs()[0]
        if entry.shape[-1] != self._encoder.width:
            raise errors.DataError(
                f"The graph takes {entry.shape[-1]} columns, the form fills {self._encoder.width}.",
                remedy="Train the model again.",
            )
        self._feed = entry.name
        self._names = [output.name for output in self._session.get_outputs()]
        self._run = self._session.run
        self._casts: list[Any] = [np.float32, np.float64] if form.single else []
        """What the encoder's matrix becomes, one after the other."""
        if entry.type != DOUBLE:
            self._casts = [np.float32]
        self._base = np.array(form.base) if any(form.base) else None
        self._classes = _class_array(model)
        self._positive = None if model.positive is None else model.classes.index(model.positive)
        self._finish = self._numbers if model.task is Task.REGRESSION else self._choices
        if form.link in (Link.LOGISTIC, Link.SECOND):
            self._finish = self._choices_of_two
        self._link = form.link

    def predict(self, columns: Columns) -> Prediction:
        """Predictions for columns made by `pilotage.core.features`."""
        matrix: Any = self._encoder.matrix(columns, len(columns[self._first]))
        if self._casts:
            with np.errstate(over="ignore"):
                for kind in self._casts:
                    matrix = matrix.astype(kind)
        found: _Numbers = self._run(self._names, {self._feed: matrix})[0]
        if found.dtype != np.float64:
            found = found.astype(np.float64)
        if self._base is not None:
            found += self._base
        return self._finish(found)

    def _numbers(self, found: _Numbers) -> Prediction:
        numbers = found[:, 0] if self._link is Link.IDENTITY else np.exp(found[:, 0])
        return Prediction(predictions=numbers, score=numbers)

    def _choices(self, found: _Numbers) -> Prediction:
        probabilities = softmax(found) if self._link is Link.SOFTMAX else found
        predictions = self._classes[probabilities.argmax(axis=1)]
        return Prediction(predictions, self._score(probabilities), probabilities)

    def _choices_of_two(self, found: _Numbers) -> Prediction:
        second = logistic(found[:, 0]) if self._link is Link.LOGISTIC else found[:, 0]
        probabilities = np.empty((second.shape[0], 2))
        first = np.subtract(1.0, second, out=probabilities[:, 0])
        probabilities[:, 1] = second
        predictions = self._classes[(second > first).view(np.int8)]
        return Prediction(predictions, self._score(probabilities), probabilities)

    def _score(self, probabilities: _Numbers) -> _Numbers:
        if self._positive is not None:
            return probabilities[:, self._positive]
        highest: _Numbers = probabilities.max(axis=1)
        return highest


def open_form(folder: Path, model: Model) -> FormPredictor | None:
    """The inference form in a model folder; None when there is none or it does not belong to `model`.

    Why a form that is there is not used is logged; the trained model then answers. The encoders of texts
    and images must be open (`pilotage.core.embeddings.open_all`).
    """
    place = folder / FOLDER
    try:
        form = InferenceForm.read(place)
    except errors.NotFound:
        return None
    except errors.DataError as error:
        logger.warning("the inference form in `%s` is not used: %s", place, error)
        return None
    try:
        return FormPredictor(form, _checked_graph(place, form, model), model)
    except (errors.InputError, OSError, ImportError) as error:
        logger.warning("the inference form in `%s` is not used: %s", place, error)
        return None


def _checked_graph(place: Path, form: InferenceForm, model: Model) -> bytes:
    """The graph's bytes, which are those that the form names; so they are read once.

    Raises:
        DataError: the form is another model's, or the graph is another one.
    """
    if form.model != model.digest:
        raise errors.DataError(f"It is of model {form.model[:12]}, not of {model.digest[:12]}.")
    graph = (place / GRAPH).read_bytes()
    if hashlib.sha256(graph).hexdigest() != form.graph:
        raise errors.DataError(f"`{GRAPH}` is not the graph that `{InferenceForm.FILE}` names.")
    return graph


def _class_array(model: Model) -> npt.NDArray[Any]:
    """The classes as the estimator gives them; text keeps its own length."""
    text = any(isinstance(value, str) for value in model.classes)
    return np.array(model.classes, dtype=object if text else None)
