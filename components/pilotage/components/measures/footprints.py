"""What a model takes where it is served: bytes on disk, and resident memory in a process of its own.

Of a model with an inference form they are the form's, which is what a server opens. Memory is
what opening the form and answering some rows adds to a fresh process that has onnxruntime
already; that process is `residents`. Linux tells resident memory; elsewhere, and of a model
without a form, memory is not measured.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pilotage.components.compilation import forms as compilation
from pilotage.components.datasets import Dataset
from pilotage.components.measures import latencies, residents
from pilotage.components.measures.measurements import Measured
from pilotage.core import forms
from pilotage.core.artifacts import InferenceForm, Model
from pilotage.core.metrics import Measure
from pilotage.core.models import FILES, Predictor
from pilotage.core.specs import PilotSpec

logger = logging.getLogger(__name__)

ROWS = 256
"""Rows that are answered while memory is measured."""
MEGABYTE = 1_000_000
_SECONDS = 60


@dataclass(frozen=True)
class Footprint:
    """What a model takes; None is not measured."""

    size_bytes: int | None
    memory_bytes: int | None = None

    def measured(self) -> Measured:
        """As gates read it, in megabytes."""
        memory = None if self.memory_bytes is None else self.memory_bytes / MEGABYTE
        size = None if self.size_bytes is None else self.size_bytes / MEGABYTE
        return {(Measure.SIZE_MB, None): size, (Measure.MEMORY_MB, None): memory}


def asked(spec: PilotSpec) -> bool:
    """Whether a gate of the pilot asks for one."""
    return any(gate.metric in (Measure.SIZE_MB, Measure.MEMORY_MB) for gate in spec.gates)


def measure(predictor: Predictor, rows: Dataset, folder: Path | None = None) -> Footprint:
    """The footprint of a model; `folder` is where its estimator is stored, for one without a form."""
    try:
        form, graph = compilation.compile_form(predictor, rows.columns)
    except Exception as error:  # an estimator's own code may raise anything
        logger.info("the size of %s is its estimator's: %s", predictor.model.pilot, error)
        file = None if folder is None else folder / FILES[predictor.model.format]
        return Footprint(None if file is None else file.stat().st_size)
    return of_form(form, graph, predictor.model, rows)


def of_form(form: InferenceForm, graph: bytes, model: Model, rows: Dataset) -> Footprint:
    """The footprint of a form, asked for some of `rows`."""
    size = len(form.model_dump_json(indent=2)) + 1 + len(graph)
    return Footprint(size, _memory(form, graph, model, rows) if residents.STATUS.exists() else None)


def _memory(form: InferenceForm, graph: bytes, model: Model, rows: Dataset) -> int | None:
    some = rows.take(np.linspace(0, rows.rows - 1, min(rows.rows, ROWS)).astype(np.int64))
    with tempfile.TemporaryDirectory(prefix="pilotage-footprint-") as scratch:
        place = Path(scratch)
        form.write(place / forms.FOLDER)
        (place / forms.FOLDER / forms.GRAPH).write_bytes(graph)
        model.write(place)
        sent = [
            {feature.name: row[feature.name] for feature in model.features} for row in latencies.as_rows(some)
        ]
        (place / residents.ROWS_FILE).write_text(json.dumps(sent), encoding="utf-8")
        try:
            done = subprocess.run(  # noqa: S603 - our own module in our own interpreter
                [sys.executable, "-m", residents.__name__, scratch],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=True,
            )
            return int(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            logger.warning("the memory of %s was not measured: %s", model.pilot, error)
            return None
