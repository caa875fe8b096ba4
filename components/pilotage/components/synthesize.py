"""Writes a file of synthetic rows in the place of a pilot's own, unless they give real rows away.

The rows are learned from the training part of a snapshot alone; the measures are those that a model's
synthetic rows get. Where a gate says no, nothing is written but what was measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pilotage.components import datasets, ingest, snapshots, splits
from pilotage.components.datasets import Dataset
from pilotage.components.measures import measurements
from pilotage.components.synthesis import augmentations, plans, synthesizers
from pilotage.components.training import estimators
from pilotage.core import errors, gates, storage
from pilotage.core.artifacts import ColumnType, Snapshot, Synthesis, Synthetic, Verdict
from pilotage.core.metrics import SYNTHETIC_MEASURES
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec, Synthesizer
from pilotage.core.specs.pilots import LEAK_GATES

SUFFIXES = (".parquet", ".csv")
MOST_ROWS = 10_000_000
_STEPS = 4
REPORT = ".report.json"
"""Behind the name of the file: what was measured."""


def synthesize(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    target: Path,
    rows: int,
    *,
    study: str = "",
    on_step: Callable[[int, int, str], None] = lambda *_: None,
) -> Synthesis:
    """Write `rows` synthetic rows to `target`, and what was measured beside it.

    Args:
        spec: the pilot; `data.augment.method` says what makes the rows.
        folder: the pilot's folder.
        settings: the installation.
        target: a `.parquet` or `.csv` file; replaced.
        rows: how many.
        study: that keeps `target`; it is then told by its name alone.
        on_step: told which step of how many begins; what it raises ends this.

    Returns:
        What was measured; `file` is empty where a gate said no.

    Raises:
        RequestError: the number of rows or the file's name cannot be.
        DataError, SourceError: the data cannot be read or learned from.
    """
    require_possible(rows, target)
    on_step(0, _STEPS, "reading the rows")
    snapshot = _ingest(spec, folder, settings)
    on_step(1, _STEPS, "learning from the training part")
    dataset = datasets.load(settings, snapshot)
    parts = splits.split(dataset, spec.task, spec.data.split.test)
    real, rest = dataset.take(parts.train), dataset.take(parts.test)
    method = spec.data.augment.method if spec.data.augment else Synthesizer.COPULA
    fitted = synthesizers.fit(real, spec.task, method, spec.train.seed)
    counts = _counts(rows, real, spec)
    made = fitted.draw(counts, spec.train.seed)
    on_step(2, _STEPS, "measuring what the rows give away")
    positive = estimators.positive_class(spec.data.positive, snapshot.classes)
    measured = augmentations.describe(spec, folder, counts, real, rest, fitted, positive)
    verdicts = tuple(_judge(spec, measured))
    passed = all(verdict.passed for verdict in verdicts)
    report = Synthesis(
        pilot=spec.pilot,
        snapshot=snapshot.digest,
        file=(target.name if study else str(target)) if passed else "",
        study=study,
        rows=made.rows,
        synthetic=measured,
        gates=verdicts,
        passed=passed,
        created_at=datetime.now(UTC),
    )
    on_step(3, _STEPS, "writing")
    if passed:
        _write(_table(made, snapshot, spec.train.seed), target)
    _keep(settings, report, target)
    return report


def require_possible(rows: int, target: Path) -> None:
    """So many rows can be made, and written to such a file.

    Raises:
        RequestError: one of the two cannot be.
    """
    if not 1 <= rows <= MOST_ROWS:
        raise errors.RequestError(
            f"{rows:,} rows are asked for, from 1 to {MOST_ROWS:,} can be.", remedy="Ask for some."
        )
    if target.suffix not in SUFFIXES:
        raise errors.RequestError(
            f"`{target}` ends in neither {' nor '.join(SUFFIXES)}.", remedy="Give the file another name."
        )


def _ingest(spec: PilotSpec, folder: Path, settings: Settings) -> Snapshot:
    with tempfile.TemporaryDirectory(prefix="pilotage-synthesize-") as scratch:
        return ingest.ingest(spec, folder, settings, Path(scratch))


def _counts(rows: int, real: Dataset, spec: PilotSpec) -> dict[str | None, int]:
    """How many rows of each class are drawn: of those that could be learned, in their shares."""
    found = synthesizers.classes_of(real, spec.task)
    known = {name: n for name, n in found.items() if name is None or n >= synthesizers.LEAST_ROWS}
    return plans.spread(rows, known)


def _keep(settings: Settings, report: Synthesis, target: Path) -> None:
    """Beside the rows and, however these fare, in the storage."""
    content = (report.model_dump_json(indent=2) + "\n").encode()
    storage.write_file(target.with_name(target.name + REPORT), content)
    name = f"{report.created_at:%Y%m%dT%H%M%SZ}-{target.stem}"
    storage.Storage(settings.storage).write(f"synthesis/{report.pilot}/{name}.json", content)


def _judge(spec: PilotSpec, measured: Synthetic) -> list[Verdict]:
    stated = [gate for gate in spec.gates if gate.metric in SYNTHETIC_MEASURES and gate.against is None]
    named = {gate.metric for gate in stated}
    always = [gate for gate in LEAK_GATES if gate.metric not in named]
    values, spans = measurements.of_synthetic(measured), measurements.spans_of_synthetic(measured)
    return gates.judge_all([*always, *stated], values, {}, spans)


def _table(made: Dataset, snapshot: Snapshot, seed: int) -> pa.Table:
    """The rows in the snapshot's columns and types, in an order that does not tell the classes."""
    order = np.random.default_rng(seed).permutation(made.rows)
    made = made.take(order)
    columns: dict[str, Any] = dict(made.columns)
    columns[snapshot.target] = made.target
    if snapshot.time is not None and made.times is not None:
        columns[snapshot.time] = made.times
    found = {}
    for column in snapshot.columns:
        if column.name in columns:
            found[column.name] = _array(columns[column.name], column.type)
        elif column.name == snapshot.key:
            found[column.name] = pa.array([f"synthetic-{row:08}" for row in range(made.rows)])
    return pa.table(found)


def _array(values: Any, kind: ColumnType) -> pa.Array:
    if values.dtype.kind == "M":
        times = pa.array(values.astype("datetime64[us]"), pa.timestamp("us"), from_pandas=True)
        return times.cast(pa.date32(), safe=False) if kind is ColumnType.DATE else times
    plain = pa.array(values, from_pandas=True)
    if kind in (ColumnType.INTEGER, ColumnType.BOOLEAN) and pa.types.is_floating(plain.type):
        return plain.cast(snapshots.arrow_type(ColumnType.INTEGER), safe=False).cast(
            snapshots.arrow_type(kind)
        )
    return plain


def _write(table: pa.Table, target: Path) -> None:
    with storage.written(target) as stream:
        if target.suffix == ".csv":
            pyarrow.csv.write_csv(table, stream)
        else:
            pq.write_table(table, stream, compression="zstd")
