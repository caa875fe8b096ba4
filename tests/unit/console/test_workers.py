"""Workers as people see them: what `check` warns of, and what a run's page says of its training."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from pilotage.console import checks
from pilotage.console.operations.execution.runs import Run, Step
from pilotage.console.pages import run_details
from pilotage.core import pilots, settings


@pytest.fixture
def pilot(tmp_path):
    pd.DataFrame({"x": range(400), "y": [value % 7 for value in range(400)]}).to_csv(tmp_path / "a.csv")

    def write(resources: str):
        (tmp_path / "pilot.yaml").write_text(
            "version: 1\npilot: p\ngoal: {metric: r2}\ndata: {source: a.csv, target: y, task: regression}\n"
            f"train: {{estimator: xgboost, resources: {resources}}}\n"
        )
        return pilots.load(tmp_path)

    return write


def warnings(pilot: Any, **changes: Any) -> str:
    return " ".join(checks.check(pilot, settings.load(**changes)).document["warnings"])


def test_one_worker_is_nothing_to_warn_of(pilot):
    assert warnings(pilot("{}")) == ""


def test_more_workers_than_cores_and_few_rows_are_warned_of(pilot):
    cores = os.cpu_count() or 1
    found = pilot(f"{{workers: {4 * cores}}}")
    said = warnings(found)
    assert f"{4 * cores} workers ask for {4 * cores} cores of this machine's {cores}" in said
    assert "400 rows" in said
    assert "cores" not in warnings(found, ray_address="auto")
    assert "cores" not in warnings(found, run_on="kubeflow")
    assert "cores" not in warnings(pilot("{workers: 2, cpu: 0.25}"))


@pytest.mark.parametrize(
    ("metrics", "note"),
    [
        ({}, "model abcdefgh"),
        ({"workers": 4.0, "worker_restarts": 0.0}, "model abcdefgh, 4 workers"),
        ({"workers": 4.0, "worker_restarts": 1.0}, "model abcdefgh, 4 workers, 1 restart"),
    ],
)
def test_a_runs_page_says_who_trained(metrics, note):
    step = SimpleNamespace(name="train", outputs={"model": {"digest": "abcdefghij"}}, metrics=metrics)
    assert run_details._note(cast(Run, SimpleNamespace(spec={})), cast(Step, step)) == note
