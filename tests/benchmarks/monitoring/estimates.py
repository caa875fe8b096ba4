"""Performance without labels: the estimated area under the ROC curve beside the one that labels told later.

One model, trained by `pilotage run` on January to March as the example is; its predictions of the flights of
April to December; everyone calibrates on the rows that training held out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics import roc_auc_score
from tests.benchmarks import environments
from tests.benchmarks.monitoring import children, ours, tables
from tests.benchmarks.monitoring.contenders import BY_NAME, NANNYML, OURS
from tests.benchmarks.monitoring.ours import Scored
from tests.benchmarks.monitoring.verdicts import Run

TRAINED_UNTIL = "2013-04-01"
WINDOWS = (date(2013, 4, 1), date(2013, 12, 29))
"""Whole weeks from the first day after training on, where the airports are."""
NO_CHANGE = "no change"
Estimates = dict[str, list[float | None]]


@dataclass(frozen=True)
class Stage:
    """What a model said of held-out rows and of windows, and what came true."""

    held_out: Scored
    windows: Mapping[str, Scored]
    """By name, in order of time."""


def measure(run: Run) -> dict[str, Any]:
    """Realized and estimated values by window, for months and weeks, and mean absolute errors."""
    scored, held_out = predictions(run.folder / "model")
    return {
        length: _compared(run, Stage(held_out, _windows(held_out, scored, length)), length)
        for length in ("month", "week")
    }


def predictions(folder: Path) -> tuple[pl.DataFrame, Scored]:
    """Score, class and truth of all flights after training, with their features; and the held-out rows."""
    shutil.rmtree(folder, ignore_errors=True)
    home = folder / "home"
    command = [str(Path(sys.executable).with_name("pilotage")), "run", str(tables.PILOT)]
    variables = environments.variables(PILOTAGE_HOME=str(home))
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    load = tables.pilot().load
    trained: pl.DataFrame = load(end=TRAINED_UNTIL)
    model = ours.open_model(home, tables.PILOT.name)
    held_out = trained.tail(model.held_out_rows)
    after: pl.DataFrame = load(start=TRAINED_UNTIL)
    said = model.predict(after)
    scored = after.with_columns(pl.Series("score", said.score), pl.Series("prediction", said.prediction))
    return scored, model.predict(held_out)


def _windows(held_out: Scored, scored: pl.DataFrame, length: str) -> dict[str, Scored]:
    local = pl.col(tables.TIME).dt.convert_time_zone("America/New_York")
    form = "%Y-%m" if length == "month" else "%G-W%V"
    named = scored.with_columns(local.dt.strftime(form).alias(tables.WINDOW))
    named = named.filter(local.dt.date().is_between(*WINDOWS))  # days begin later there than in UTC
    return {
        str(name): held_out.of_frame(frame)
        for (name,), frame in sorted(named.group_by(tables.WINDOW, maintain_order=True))
    }


def realized(window: Scored) -> float:
    """The metric with labels."""
    return float(roc_auc_score(window.truth, window.score))


def _compared(run: Run, stage: Stage, length: str) -> dict[str, Any]:
    true = [realized(window) for window in stage.windows.values()]
    reference = realized(stage.held_out)
    found: Estimates = {NO_CHANGE: [reference] * len(true)}
    stored = {}
    for name, values in ours.estimates(stage.held_out, list(stage.windows.values())).items():
        found[f"{OURS}: {name}"] = values
    if told := _nannyml(run, stage, length):
        found[BY_NAME[NANNYML].name], stored[NANNYML] = told
    return {
        "windows": list(stage.windows),
        "rows": [len(window.score) for window in stage.windows.values()],
        "held_out_rows": len(stage.held_out.score),
        "realized": true,
        "estimates": found,
        "errors": {name: error(values, true) for name, values in found.items()},
        "stored_at": stored,
    }


def error(estimated: Sequence[float | None], true: Sequence[float]) -> dict[str, float | int]:
    """Mean absolute error over the windows that have an estimate, and how many those are."""
    pairs = [(one, other) for one, other in zip(estimated, true, strict=True) if one is not None]
    mean = float(np.mean([abs(one - other) for one, other in pairs])) if pairs else float("nan")
    return {"mean_absolute": mean, "windows": len(pairs)}


def _nannyml(run: Run, stage: Stage, length: str) -> tuple[list[float | None], str] | None:
    peer, name = BY_NAME[NANNYML], f"estimates-{length}"
    if peer not in run.chosen:
        return run.archive.last(name, peer)
    folder = run.folder / name
    numbered = pl.concat(
        _frame(window).with_columns(pl.lit(number).alias(tables.WINDOW))
        for number, window in enumerate(stage.windows.values())
    )
    job = {
        "task": "estimates",
        "reference": str(tables.write(_frame(stage.held_out), folder / "reference.parquet")),
        "windows": str(tables.write(numbered.drop("truth"), folder / "windows.parquet")),
    }
    return run.archive.keep(name, peer, children.run(peer, job, folder)["found"]), ""


def _frame(scored: Scored) -> pl.DataFrame:
    columns: dict[str, npt.NDArray[Any]] = {
        "score": scored.score, "prediction": scored.prediction, "truth": scored.truth
    }  # fmt: skip
    return pl.DataFrame(columns)
