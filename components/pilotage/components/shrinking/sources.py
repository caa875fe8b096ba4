"""The version that is made smaller: its model, its inference form, and the rows that may be used for it.

Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components import datasets, splits
from pilotage.components.compilation import estimators as tables
from pilotage.components.compilation.estimators import Body
from pilotage.components.datasets import Dataset
from pilotage.components.training import encodings
from pilotage.components.training.deep.embedders import Embedder
from pilotage.core import errors, forms, models
from pilotage.core.artifacts import Link, Model, Report, Snapshot
from pilotage.core.forms import FormPredictor
from pilotage.core.metrics import Task
from pilotage.core.models import Answering, Predictor
from pilotage.core.registry import Registered, Registry
from pilotage.core.registry.tags import FORM_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec

SEED = 1
"""Of which training rows are fitted on and which are chosen by."""
_CLIP = 1e-6
"""Probabilities nearer to 0 or 1 have no logarithm that is worth learning."""


@dataclass(frozen=True)
class Source:
    """A version and its rows."""

    registered: Registered
    folder: Path
    """Of the model."""
    pilot_folder: Path
    settings: Settings
    spec: PilotSpec
    snapshot: Snapshot
    report: Report
    predictor: Predictor
    form: FormPredictor | None
    graph: bytes
    """Of the form; empty without one."""
    train: Dataset
    rest: Dataset
    """Held out; they judge, and nothing is chosen by them."""
    importances: Mapping[str, float]

    @property
    def model(self) -> Model:
        return self.predictor.model

    @property
    def answering(self) -> Answering:
        """What a server asks."""
        return self.predictor if self.form is None else self.form

    @property
    def obstacle(self) -> str:
        """Why there is no inference form; empty where there is one."""
        said = self.registered.tags.get(FORM_TAG, "it has none")
        return "" if self.form is not None else said.removeprefix("refused: ")

    @cached_property
    def body(self) -> Body | None:
        """The tables of a built-in estimator; None of others."""
        steps = dict(getattr(self.predictor.estimator, "steps", []))
        if list(steps) != ["encode", "model"]:
            return None
        try:
            return tables.body(steps["model"])
        except errors.EstimatorError:
            return None

    @cached_property
    def encode(self) -> Any:
        """The fitted encoding that fills the form's graph."""
        steps = dict(getattr(self.predictor.estimator, "steps", []))
        if list(steps) == ["encode", "model"]:
            return steps["encode"]
        return encodings.for_trees(self.model.features).fit(self.train.frame())  # numbers as they are

    @property
    def averaged(self) -> bool:
        """Whether its trees are averaged, so that those which are left weigh more."""
        last = dict(getattr(self.predictor.estimator, "steps", [])).get("model")
        return type(last).__name__.startswith("RandomForest")

    @cached_property
    def embedder(self) -> Embedder:
        """What makes encoders of its texts and images for models that are trained beside it."""
        return Embedder(self.spec, self.pilot_folder, self.settings)

    @cached_property
    def parts(self) -> splits.Split:
        """Training rows to fit on, and later or other training rows to choose by."""
        return splits.folds(self.train, self.spec.task, SEED)[-1]

    @cached_property
    def sums(self) -> npt.NDArray[np.float64]:
        """What it says of the training rows before the link, shape `(n, outputs)`: what a student learns.

        Raises:
            EstimatorError: it is a classifier without probabilities.
        """
        found = self.answering.predict(self.train.columns)
        if self.spec.task is Task.REGRESSION:
            numbers = np.asarray(found.predictions, dtype=np.float64).reshape(-1, 1)
            return np.log(numbers) if self.link is Link.EXP else numbers
        if found.probabilities is None:
            raise errors.EstimatorError("The version gives no probabilities to learn from.")
        logs = np.log(np.clip(found.probabilities, _CLIP, 1 - _CLIP))
        if logs.shape[1] == 2:
            return np.asarray(logs[:, 1:] - logs[:, :1])
        return np.asarray(logs - logs.mean(axis=1, keepdims=True))

    @cached_property
    def link(self) -> Link:
        """What turns `sums` into answers."""
        if self.spec.task is Task.CLASSIFICATION:
            return Link.LOGISTIC if len(self.model.classes) == 2 else Link.SOFTMAX
        return self.form.form.link if self.form is not None else Link.IDENTITY

    def on(self, names: tuple[str, ...]) -> tuple[Dataset, Dataset]:
        """Training and held-out rows with some of the features only, in their order."""
        wanted = tuple(feature for feature in self.train.features if feature.name in names)
        return tuple(  # type: ignore[return-value]
            replace(rows, features=wanted, columns={item.name: rows.columns[item.name] for item in wanted})
            for rows in (self.train, self.rest)
        )


def open_source(
    spec: PilotSpec, pilot_folder: Path, settings: Settings, registry: Registry, registered: Registered
) -> Source:
    """The version `registered` with the rows that it was trained and judged on.

    Raises:
        NotFound: its files, its snapshot or its report are gone.
        DataError: the pilot.yaml now divides the rows otherwise, or predicts something else.
        UntrustedModel: the stored model may not be loaded here.
    """
    folder = registry.folder(registered)
    predictor = models.open_predictor(folder, settings)
    snapshot = Snapshot.read(registry.run_file(registered.run, Snapshot.FILE))
    report = Report.read(registry.run_file(registered.run, Report.FILE))
    dataset = datasets.load(settings, snapshot)
    parts = splits.split(dataset, spec.task, spec.data.split.test)
    _require_same(spec, predictor.model, parts)
    form = forms.open_form(folder, predictor.model)
    names = [feature.name for feature in predictor.model.features]
    dataset = replace(
        dataset, features=predictor.model.features, columns={name: dataset.columns[name] for name in names}
    )
    return Source(
        registered=registered,
        folder=folder,
        pilot_folder=pilot_folder,
        settings=settings,
        spec=spec,
        snapshot=snapshot,
        report=report,
        predictor=predictor,
        form=form,
        graph=b"" if form is None else (folder / forms.FOLDER / forms.GRAPH).read_bytes(),
        train=dataset.take(parts.train),
        rest=dataset.take(parts.test),
        importances=registry.profile(registered).importances,
    )


def _require_same(spec: PilotSpec, model: Model, parts: splits.Split) -> None:
    if (model.target, model.task) != (spec.data.target, spec.task):
        raise errors.DataError(
            f"The version predicts `{model.target}` ({model.task}), pilot.yaml now `{spec.data.target}`.",
            remedy="Shrink a version that this pilot.yaml made.",
        )
    if (parts.train.size, parts.test.size) != (model.train_rows, model.test_rows):
        raise errors.DataError(
            f"The version held out {model.test_rows} rows, `data.split` now gives {parts.test.size}.",
            remedy="Run the pilot again, and shrink the version that it makes.",
        )
