"""What sharing a training among workers does to the model: one, two and four of them, over several seeds.

The flights of the example pilot. For each estimator: the held-out metric by number of workers against the
noise of seeds, and how often two models put a row into the same class, beside how often two seeds of one
process do. Seconds are those of a fit, of workers with their reading of rows; on a machine with fewer cores
than workers they say only what sharing costs. Writes docs/benchmarks/scale-out.json and the guide's plot.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score
from tests.benchmarks import charts

from pilotage.components import datasets, ingest, splits
from pilotage.components.distributed import clusters, fits, teams
from pilotage.components.distributed.fits import Job
from pilotage.components.distributed.shards import Rows
from pilotage.components.training import estimators
from pilotage.core import pilots, settings
from pilotage.core.specs import PilotSpec, Resources

WORKERS = (1, 2, 4)
SEEDS = (1, 2, 3, 4, 5)
PARAMS: dict[str, dict[str, Any]] = {
    "xgboost": {"n_estimators": 150, "max_depth": 5, "subsample": 0.8, "colsample_bytree": 0.8},
    "lightgbm": {"n_estimators": 150, "num_leaves": 31, "subsample": 0.8, "subsample_freq": 1},
    "mlp": {"epochs": 8, "hidden": 64, "batch_size": 512},
}
NOISES = 3.0
"""Standard deviations over seeds by which means of different numbers of workers may differ."""


class Flights:
    """The rows, divided."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.pilot = pilots.load(repository / "pilots" / "flight-delay")
        self.settings = settings.load(home=folder / "home")
        spec = self.pilot.spec
        self.snapshot = ingest.ingest(spec, self.pilot.folder, self.settings, folder)
        whole = datasets.load(self.settings, self.snapshot)
        parts = splits.split(whole, spec.task, spec.data.split.test)
        self.positions, self.train, self.rest = parts.train, whole.take(parts.train), whole.take(parts.test)
        self.frame = self.rest.frame()

    def spec(self, estimator: str, seed: int, workers: int) -> PilotSpec:
        content = self.pilot.spec.model_dump(mode="json", exclude_unset=True)
        resources = {"workers": workers, "cpu": 0.5}
        content["train"] = {
            "estimator": estimator,
            "params": PARAMS[estimator],
            "seed": seed,
            "resources": resources,
        }
        return PilotSpec.model_validate(content)

    def fit(
        self, estimator: str, seed: int, workers: int, team: teams.Team | None
    ) -> tuple[float, np.ndarray, float]:
        """The held-out metric, the probabilities, and the seconds of the fit."""
        spec, began = self.spec(estimator, seed, workers), time.perf_counter()
        if team is None:
            built = estimators.build(
                estimator,
                spec.train.params,
                task=spec.task,
                dataset=self.train,
                seed=seed,
                folder=self.pilot.folder,
            )
            fitted = estimators.fit(built, self.train, estimator)
        else:
            rows = Rows.of(self.settings, self.snapshot, self.positions)
            lazy = datasets.opened(self.settings, self.snapshot).take(self.positions)
            fitted = fits.fit(team, Job(spec, self.pilot.folder, rows, f"s{seed}"), spec.train.params, lazy)
        seconds = time.perf_counter() - began
        column = fitted.classes_.tolist().index(True)
        chances = np.asarray(fitted.predict_proba(self.frame)[:, column])
        return float(roc_auc_score(self.rest.target, chances)), chances, seconds


def agreement(left: np.ndarray, right: np.ndarray) -> float:
    """Share of rows that both put among the likelier fifth, or both not: flights are seldom late."""
    return float(np.mean((left > np.quantile(left, 0.8)) == (right > np.quantile(right, 0.8))))


def measure(flights: Flights, estimator: str) -> list[dict[str, Any]]:
    found: dict[int, list[tuple[float, np.ndarray, float]]] = {}
    for workers in WORKERS:
        resources = Resources(workers=workers, cpu="500m")
        if workers == 1:
            found[workers] = [flights.fit(estimator, seed, 1, None) for seed in SEEDS]
            continue
        with teams.formed(flights.settings, resources) as team:
            found[workers] = [flights.fit(estimator, seed, workers, team) for seed in SEEDS]
    pairs = itertools.combinations([chances for _, chances, _ in found[1]], 2)
    between = statistics.mean(agreement(left, right) for left, right in pairs)
    rows = []
    for workers in WORKERS:
        metrics = [metric for metric, _, _ in found[workers]]
        same = [agreement(mine[1], lone[1]) for mine, lone in zip(found[workers], found[1], strict=True)]
        rows.append(
            {
                "estimator": estimator, "workers": workers, "metrics": metrics,
                "mean": statistics.mean(metrics), "sd": statistics.stdev(metrics),
                "agreement": statistics.mean(same), "between_seeds": between,
                "seconds": statistics.median(seconds for _, _, seconds in found[workers]),
            }
        )  # fmt: skip
    return rows


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """The metric by workers: each seed a dot, the mean a line, one process's noise a band."""
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    figure = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names), sharey=True)), names, strict=True):
        mine = [row for row in rows if row["estimator"] == name]
        places = range(len(mine))
        low, high = (mine[0]["mean"] + sign * 2 * mine[0]["sd"] for sign in (-1, 1))
        axes.axhspan(low, high, color=charts.SKY, alpha=0.25, label="one process, ± 2 sd of seeds")
        axes.plot(
            places, [row["mean"] for row in mine], color=charts.BLUE, marker="_", markersize=16, label="mean"
        )
        for place, row in zip(places, mine, strict=True):
            axes.plot([place] * len(SEEDS), row["metrics"], "o", color=charts.ORANGE, markersize=4, alpha=0.8)
        axes.set_xticks(list(places), [str(row["workers"]) for row in mine])
        axes.set(title=name, xlabel="workers", xlim=(-0.5, len(mine) - 0.5))
    figure.axes[0].set_ylabel("held-out ROC AUC")
    figure.axes[0].legend(fontsize=7, loc="lower left")
    charts.save(figure, file)


def test_workers_give_an_equal_model(repository: Path, tmp_path: Path) -> None:
    flights = Flights(repository, tmp_path)
    names = [name for name in PARAMS if name != "mlp" or find_spec("torch") is not None]
    with clusters.opened(flights.settings, Resources(workers=4, cpu="1")):
        rows = [row for name in names for row in measure(flights, name)]
    print(f"\n{flights.train.rows:,} training and {flights.rest.rows:,} held-out flights, {len(SEEDS)} seeds")
    print("estimator  workers  ROC AUC  sd of seeds  agreement with 1  between seeds of 1  seconds")
    for row in rows:
        print(
            f"{row['estimator']:<10} {row['workers']:>7}  {row['mean']:.4f}   {row['sd']:.4f}     "
            f"  {row['agreement']:>14.1%}  {row['between_seeds']:>18.1%}  {row['seconds']:>7.1f}"
        )
    facts = {"training_rows": flights.train.rows, "held_out_rows": flights.rest.rows, "rows": rows}
    (repository / "docs" / "benchmarks" / "scale-out.json").write_text(json.dumps(facts, indent=1) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        import matplotlib

        for key, value in charts.STYLE.items():
            patch.setitem(matplotlib.rcParams, key, value)
        draw(rows, repository / "docs" / "images" / "scale-out.svg")
    for name in names:
        one, *others = [row for row in rows if row["estimator"] == name]
        for row in others:
            noise = max(one["sd"], row["sd"], 1e-4)
            assert abs(row["mean"] - one["mean"]) <= NOISES * noise, row
            assert row["agreement"] >= one["between_seeds"] - 0.02, row
