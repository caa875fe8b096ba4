"""Compiles a trained model, checks the form and puts it beside the model.

A model without a form is served as before, so nothing about the model can fail
a run here; why there is no form is said. Writing may fail, and be repeated.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pilotage.components.compilation import conversions, encoders, estimators, graphs, parities
from pilotage.components.compilation.estimators import SINGLE_TOLERANCE, Floats
from pilotage.core import embeddings, forms, models, storage
from pilotage.core.artifacts import InferenceForm, Input, Link, Model, TrainedModel
from pilotage.core.features import Columns
from pilotage.core.forms import FormPredictor
from pilotage.core.forms.encodings import Encoder
from pilotage.core.graph_models import GraphClassifier, GraphRegressor
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings

logger = logging.getLogger(__name__)

READY = "ready"
REFUSED = "refused: "
_LONGEST_REASON = 400


@dataclass(frozen=True)
class _Converted:
    """A form before it is checked; the fields are those of `InferenceForm`."""

    inputs: tuple[Input, ...]
    graph: bytes
    base: Floats
    link: Link
    single: bool
    tolerance: float


def add(settings: Settings, registry: Registry, trained: TrainedModel, columns: Columns) -> str:
    """Give the stored model its inference form; returns `ready`, or `refused: ` and why.

    A form that is there already stays. `columns` are those of the rows that evaluation judged the model on.
    """
    folder = registry.folder_at(registry.model_location(trained.uri))
    _forget_unfinished(folder, settings)
    encoders = embeddings.open_all(trained.model.encoders, settings)
    if forms.open_form(folder, trained.model) is not None:
        return READY
    try:
        form, graph = compile_form(models.open_predictor(folder, settings), columns)
    except Exception as error:  # an estimator's own code may raise anything
        reason = " ".join((str(error) or type(error).__name__).split())[:_LONGEST_REASON]
        logger.warning("this version of %s has no inference form: %s", trained.model.pilot, reason)
        return f"{REFUSED}{reason}"
    del encoders  # the predictor held them too
    _place(folder, form, graph, settings)
    registry.add_to_model(trained.uri, folder, (forms.FOLDER, models.SIGNATURE))
    return READY


def _forget_unfinished(folder: Path, settings: Settings) -> None:
    """Remove a form that an attempt placed and died before it signed the folder anew."""
    if not models.is_own(folder, settings) and models.is_own(folder, settings, form=False):
        shutil.rmtree(folder / forms.FOLDER)


def _place(folder: Path, form: InferenceForm, graph: bytes, settings: Settings) -> None:
    """Put the form into the model folder in one rename, and sign that anew if it was signed here."""
    own = models.is_own(folder, settings)
    target = folder / forms.FOLDER
    with tempfile.TemporaryDirectory(prefix=".form-", dir=target.parent) as scratch:
        draft = Path(scratch) / target.name
        storage.write_file(draft / forms.GRAPH, graph)
        form.write(draft)
        shutil.rmtree(target, ignore_errors=True)  # of a form that could not be opened
        draft.rename(target)
    if own:
        models.sign(folder, settings)


def compile_form(predictor: Predictor, columns: Columns) -> tuple[InferenceForm, bytes]:
    """The form of a trained model and its graph, found equal on every row of `columns`.

    Raises:
        EstimatorError: it cannot be converted, or it does not agree.
    """
    model = predictor.model
    made = _converted(predictor.estimator, model)
    form = InferenceForm(
        model=model.digest,
        graph=hashlib.sha256(made.graph).hexdigest(),
        inputs=made.inputs,
        single=made.single,
        base=tuple(made.base.tolist()),
        link=made.link,
        rows=len(columns[made.inputs[0].feature]),
        tolerance=made.tolerance,
        difference=0.0,
        created_at=datetime.now(UTC),
    )
    found = FormPredictor(form, made.graph, model).predict(columns)
    largest = parities.difference(predictor.predict(columns), found, model.task, made.tolerance)
    return form.model_copy(update={"difference": largest}), made.graph


def _converted(estimator: Any, model: Model) -> _Converted:
    steps = dict(getattr(estimator, "steps", []))
    whole = steps.get("model")
    if list(steps) == ["encode", "model"] and isinstance(whole, (GraphClassifier, GraphRegressor)):
        inputs = encoders.inputs(steps["encode"])
        return _Converted(
            inputs,
            np.asarray(whole.graph, dtype=np.uint8).tobytes(),
            np.asarray(whole.base, dtype=np.float64),
            Link(whole.link),
            whole.single,
            SINGLE_TOLERANCE,
        )
    if ":" not in model.estimator and list(steps) == ["encode", "model"]:
        inputs = encoders.inputs(steps["encode"])
        body = estimators.body(steps["model"])
        graph = graphs.graph(body.part, Encoder(inputs).width, body.base.size)
        return _Converted(inputs, graph, body.base, body.link, body.single, body.tolerance)
    inputs, graph = conversions.convert(estimator, model.features)
    link = Link.IDENTITY if model.task is Task.REGRESSION else Link.PROBABILITIES
    return _Converted(inputs, graph, np.zeros(max(len(model.classes), 1)), link, False, SINGLE_TOLERANCE)
