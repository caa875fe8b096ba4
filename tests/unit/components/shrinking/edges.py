"""A bundle of a small model with every kind of feature, and an environment with nothing but onnxruntime."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from pilotage.components.compilation import forms as compilation
from pilotage.components.datasets import Dataset
from pilotage.components.training import encodings
from pilotage.core import features
from pilotage.core.artifacts import Feature, InferenceForm, Model, ModelFormat
from pilotage.core.metrics import Task
from pilotage.core.models import Predictor
from pilotage.core.specs import FeatureKind

FEATURES = (
    Feature(name="weight", kind=FeatureKind.NUMBER),
    Feature(name="fragile", kind=FeatureKind.BOOLEAN),
    Feature(name="route", kind=FeatureKind.CATEGORY),
    Feature(name="sent_at", kind=FeatureKind.TIME),
)
CLASSES = ("broken", "whole")
BROUGHT = ("onnxruntime", "numpy", "flatbuffers", "packaging", "protobuf")
"""onnxruntime and what it asks for."""
ABSENT = ("pilotage", "pandas", "sklearn", "pydantic", "pyarrow")


@dataclass(frozen=True)
class Made:
    """A small model and its form."""

    form: InferenceForm
    graph: bytes
    model: Model


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as JSON has them, some of their values missing."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        row: dict[str, Any] = {
            "weight": round(float(rng.normal(3, 1)), 3),
            "fragile": bool(rng.random() < 0.4),
            "route": str(rng.choice(["A", "B", "Ü-7", "12"])),
            "sent_at": f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}T{number % 24:02d}:30:00+02:00",
        }
        if rng.random() < 0.2:
            row[str(rng.choice([item.name for item in FEATURES]))] = None
        found.append(row)
    return found


def fit(*, linear: bool) -> Made:
    """A classifier on rows of every kind; `linear` scales numbers and one-hot encodes categories."""
    sent = rows(600)
    columns = features.from_rows(FEATURES, sent)
    heavy = np.nan_to_num(columns["weight"]) + np.nan_to_num(columns["fragile"]) > 3.4
    target = np.where(heavy, *CLASSES).astype(object)
    dataset = Dataset(features=FEATURES, columns=columns, target=target)
    if linear:
        from sklearn.linear_model import LogisticRegression

        steps = [("encode", encodings.for_linear_models(FEATURES)), ("model", LogisticRegression())]
    else:
        boosted = HistGradientBoostingClassifier(max_iter=10, random_state=0)
        steps = [("encode", encodings.for_trees(FEATURES)), ("model", boosted)]
    fitted = Pipeline(steps).fit(dataset.frame(), target)
    model = Model(
        pilot="parcels",
        digest="a" * 64,
        format=ModelFormat.SKOPS,
        estimator="logistic_regression" if linear else "hist_gradient_boosting",
        params={},
        seed=0,
        features=FEATURES,
        target="fate",
        task=Task.CLASSIFICATION,
        classes=CLASSES,
        positive="broken",
        snapshot="b" * 64,
        train_rows=600,
        test_rows=600,
        validation={},
        requirements=(),
        python="3.11",
        code="c" * 64,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    form, graph = compilation.compile_form(Predictor(fitted, model), columns)
    return Made(form, graph, model)


def environment(folder: Path) -> Path:
    """The Python of a new environment with onnxruntime and what it needs, linked from this one.

    Nothing else can be imported there: each distribution's own files are linked one by one.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    target = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for name in BROUGHT:
        found = importlib.metadata.distribution(name)
        for top in sorted({Path(file).parts[0] for file in found.files or ()} - {"..", "__pycache__"}):
            link = target / top
            if not link.exists():
                link.symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


def run(python: Path, bundle: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Call the script of a bundle, from another folder and with nothing of this environment."""
    return subprocess.run(
        [str(python), "-I", str(bundle / "predict.py"), *words],
        input=given,
        capture_output=True,
        timeout=60,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
    )


def answers(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """The lines that the script printed."""
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def as_lines(found: list[dict[str, Any]]) -> bytes:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found).encode()
