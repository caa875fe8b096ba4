"""Small real models, built through core alone, for the server's unit and integration tests."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pilotage.core import features, models, pilots, profiles, storage
from pilotage.core.artifacts import Feature, Model, ModelFormat
from pilotage.core.encoders import TimeParts
from pilotage.core.features import category_text
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.pilots import Pilot
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind
from pilotage.serving.versions.lives import Live

NAME = "flights"
FEATURES = (
    Feature(name="distance", kind=FeatureKind.NUMBER),
    Feature(name="carrier", kind=FeatureKind.CATEGORY),
    Feature(name="holiday", kind=FeatureKind.BOOLEAN),
    Feature(name="bought", kind=FeatureKind.TIME),
)
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
YAML = """\
version: 1
pilot: flights
data: {source: flights.csv, target: late, time: at, key: flight}
goal: {metric: roc_auc}
monitor: {window: 1h}
"""
REGRESSION_YAML = YAML.replace("roc_auc", "r2").replace("late", "delay")


def pilot(folder: Path, text: str = YAML) -> Pilot:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / pilots.FILE_NAME).write_text(text)
    return pilots.load(folder)


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as a client sends them, ten minutes apart; one in ten lacks its distance."""
    random = np.random.default_rng(seed)
    return [
        {
            "distance": None if position % 10 == 9 else float(random.integers(100, 3000)),
            "carrier": str(random.choice(["AA", "UA", "WN"])),
            "holiday": bool(random.random() < 0.2),
            "bought": (BEGIN - timedelta(days=int(random.integers(1, 60)))).isoformat(),
            "at": (BEGIN + timedelta(minutes=10 * position)).isoformat(),
            "flight": f"f{seed}-{position}",
        }
        for position in range(count)
    ]


def target(given: list[dict[str, Any]]) -> list[bool]:
    """Late when it is far, with one carrier late more often."""
    return [(row["distance"] or 0) + 800 * (row["carrier"] == "UA") > 1600 for row in given]


def predictor(task: Task = Task.CLASSIFICATION, seed: int = 0, trained: int = 300) -> Predictor:
    given = rows(trained, seed)
    estimator = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", SimpleImputer(), ["distance", "holiday"]),
                ("categories", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
                ("times", make_pipeline(TimeParts(), SimpleImputer()), ["bought"]),
            ]
        ),
        LogisticRegression(max_iter=2000) if task is Task.CLASSIFICATION else Ridge(),
    )
    labels: Any = target(given)
    if task is Task.REGRESSION:
        labels = [(row["distance"] or 0) / 10 for row in given]
    frame = features.to_frame(features.from_rows(FEATURES, given))
    estimator.fit(frame, np.array(labels))
    binary = task is Task.CLASSIFICATION
    model = Model(
        pilot=NAME,
        digest="0" * 64,
        format=ModelFormat.SKOPS,
        estimator="small",
        params={},
        seed=seed,
        features=FEATURES,
        target="late" if binary else "delay",
        task=task,
        classes=(False, True) if binary else (),
        positive=True if binary else None,
        time="at",
        key="flight",
        snapshot="0" * 64,
        train_rows=trained,
        test_rows=0,
        validation={},
        requirements=(),
        python="3.11",
        code="0" * 64,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return Predictor(estimator, model)


def profile(made: Predictor, trained: int = 300) -> ReferenceProfile:
    columns = features.from_rows(FEATURES, rows(trained, made.model.seed))
    found = made.predict(columns)
    classes = None
    if made.model.task is Task.CLASSIFICATION:
        text = np.array([category_text(value) for value in found.predictions.tolist()], dtype=object)
        classes = profiles.profile_categories(text)
    return ReferenceProfile(
        pilot=NAME,
        snapshot="0" * 64,
        rows=trained,
        features={
            feature.name: profiles.profile_column(feature, columns[feature.name]) for feature in FEATURES
        },
        score=profiles.profile_numbers(found.score),
        prediction=classes,
    )


def live(task: Task = Task.CLASSIFICATION, version: int = 1) -> Live:
    """A version as if it had been loaded."""
    made = predictor(task, version)
    registered = Registered(NAME, version, "run", "nowhere", datetime(2026, 1, 1, tzinfo=UTC))
    return Live(registered, made, profile(made))


def write(folder: Path, made: Predictor, settings: Settings) -> Path:
    """The model folder that training leaves."""
    folder.mkdir(parents=True)
    file = folder / models.FILES[made.model.format]
    skops.io.dump(made.estimator, file)
    model = made.model.model_copy(update={"digest": storage.file_digest(file)})
    model.write(folder / "pilotage")
    profile(made).write(folder / "pilotage")
    (folder / "MLmodel").write_text("flavors: {}\n")
    models.sign(folder, settings)
    return folder


def register(settings: Settings, made: Predictor) -> int:
    """A new version in a real registry."""
    registry = Registry(settings)
    run = registry.start_run(NAME, "train", {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = write(Path(scratch) / "model", made, settings)
        uri = registry.log_model(NAME, run, folder, {})
    registry.end_run(run)
    return registry.register(NAME, run, uri, {})
