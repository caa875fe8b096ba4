"""Work that several workers share, on a real Ray with four of them: equal to one process, and survived.

One Ray serves all tests of this module but those about its beginning and end, which have their own.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

if importlib.util.find_spec("ray") is None:  # importing it would fix its settings
    pytest.skip("the extra `scale` is not installed", allow_module_level=True)

from pilotage.components import datasets, ingest, score, splits
from pilotage.components import train as step
from pilotage.components.distributed import clusters, fits, searches, shards, teams
from pilotage.components.distributed.fits import Job
from pilotage.components.distributed.shards import Rows
from pilotage.components.training import estimators, references
from pilotage.components.training import searches as alone
from pilotage.core import errors, models, settings
from pilotage.core.artifacts import Report, Snapshot
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registry
from pilotage.core.specs import PilotSpec, Resources, Season

WORKERS = 4
ROWS = 6_000


def make_table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Rows of two classes, with a category of more values than trees tell apart, and missing values."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 4))
    place = rng.zipf(1.3, rows) % 400
    chance = 1 / (1 + np.exp(-(1.5 * numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + (place < 3))))
    table = pd.DataFrame({f"x{column}": numbers[:, column] for column in range(4)})
    table["place"] = pd.Series([f"p{value}" for value in place]).mask(rng.random(rows) < 0.02)
    table.loc[rng.random(rows) < 0.05, "x3"] = np.nan
    table["at"] = pd.date_range("2026-01-01", periods=rows, freq="7min", tz="UTC")
    table["late"] = np.where(rng.random(rows) < chance, "yes", "no")
    table["id"] = [f"r{row}" for row in range(rows)]
    return table


def make_spec(estimator: str = "xgboost", workers: int = WORKERS, **train: Any) -> PilotSpec:
    resources = {"workers": workers, "cpu": 0.5}
    return PilotSpec.model_validate(
        {
            "version": 1,
            "pilot": "late-trains",
            "goal": {"metric": "roc_auc"},
            "data": {"source": "rows.parquet", "target": "late", "time": "at", "key": "id"},
            "train": {"estimator": estimator, "resources": resources, **train},
        }
    )


class Bench:
    """A snapshot, its training part, and who works on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = settings.load(home=folder / "home")
        make_table().to_parquet(folder / "rows.parquet", row_group_size=1500)
        self.snapshot: Snapshot = ingest.ingest(make_spec(), folder, self.settings, folder / "snapshot")
        whole = datasets.load(self.settings, self.snapshot)
        parts = splits.split(whole, make_spec().task, 0.2)
        self.positions = parts.train
        self.train, self.rest = whole.take(parts.train), whole.take(parts.test)
        self.lazy = datasets.opened(self.settings, self.snapshot).take(parts.train)
        self.truth = self.rest.target == "yes"

    def job(self, spec: PilotSpec, run: str) -> Job:
        return Job(spec, self.folder, Rows.of(self.settings, self.snapshot, self.positions), run)

    def chances(self, fitted: Any) -> np.ndarray:
        return np.asarray(fitted.predict_proba(self.rest.frame())[:, 1])

    def auc(self, fitted: Any) -> float:
        return float(roc_auc_score(self.truth, self.chances(fitted)))

    def agreement(self, left: Any, right: Any) -> float:
        """Share of held-out rows that both put into the same class."""
        return float(np.mean((self.chances(left) > 0.5) == (self.chances(right) > 0.5)))

    def alone(self, spec: PilotSpec, seed: int = 42) -> Any:
        name, params = spec.train.estimator, spec.train.params
        built = estimators.build(
            name, params, task=spec.task, dataset=self.train, seed=seed, folder=self.folder
        )
        return estimators.fit(built, self.train, name)

    def report(self) -> Report:
        return Report(
            pilot="late-trains", snapshot=self.snapshot.digest, suite="a" * 64, drafted=True, success=True,
            checks=(), created_at=self.snapshot.created_at,
        )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _unmeasured():
    """Dozens of processes start here; each would load the measurement of coverage, too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def ray(bench: Bench):
    """One Ray with room for two teams, which `clusters.opened` finds running."""
    with clusters.opened(bench.settings, Resources(workers=2 * WORKERS, cpu="500m")) as found:
        yield found


@pytest.fixture(scope="module")
def team(ray, bench: Bench):
    with teams.formed(bench.settings, make_spec().train.resources) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["xgboost", "lightgbm"])
def test_four_workers_make_the_model_that_one_process_makes(bench, team, estimator):
    spec = make_spec(estimator, params={"n_estimators": 40})
    shared = fits.fit(team, bench.job(spec, "equal"), spec.train.params, bench.lazy)
    one = bench.alone(spec)
    often = {"subsample_freq": 1} if estimator == "lightgbm" else {}
    varied = make_spec(estimator, params={"n_estimators": 40, "subsample": 0.8, **often})
    seeds = [bench.alone(varied, seed) for seed in range(5)]
    noise = np.std([bench.auc(fitted) for fitted in seeds], ddof=1)
    assert abs(bench.auc(shared) - bench.auc(one)) <= 4 * noise
    usual = min(bench.agreement(fitted, seeds[0]) for fitted in seeds[1:])
    assert bench.agreement(shared, one) >= usual - 0.01 >= 0.85
    matrices = [fitted.named_steps["encode"].transform(bench.train.frame()) for fitted in (shared, one)]
    np.testing.assert_array_equal(*matrices)
    mine, theirs = (
        {name: repr(value) for name, value in fitted.get_params().items()} for fitted in (shared, one)
    )
    del mine["steps"], theirs["steps"]
    assert mine == theirs
    assert models.foreign_types(shared, bench.settings) == ()
    assert not (bench.settings.home / "checkpoints" / "equal").exists()


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_model_is_that_of_a_quiet_run(bench, ray):
    spec = make_spec("xgboost", params={"n_estimators": 60, "max_depth": 4})
    quiet = bench.alone(spec)
    with teams.formed(bench.settings, spec.train.resources) as team:
        victims: list[int] = []
        kept = bench.settings.home / "checkpoints" / "xgboost"
        killer = threading.Thread(target=_kill_at_checkpoint, args=(team, kept, victims))
        killer.start()
        fitted = fits.fit(team, bench.job(spec, "xgboost"), spec.train.params, bench.lazy)
        killer.join()
        assert victims
        assert team.restarts >= 1
        assert victims[0] not in {member.pid for member in team.members}
    assert fitted.named_steps["model"].estimator_.get_booster().num_boosted_rounds() == 60
    assert abs(bench.auc(fitted) - bench.auc(quiet)) < 0.01
    assert np.corrcoef(bench.chances(fitted), bench.chances(quiet))[0, 1] >= 0.98


def _kill_at_checkpoint(team: teams.Team, kept: Path, victims: list[int]) -> None:
    """SIGKILL the third worker when there is something to go on from."""
    for _ in range(12_000):
        if kept.is_dir() and any(not path.name.startswith(".") for path in kept.iterdir()):
            victims.append(team.members[2].pid)
            os.kill(victims[0], signal.SIGKILL)
            return
        time.sleep(0.005)


@pytest.mark.slow
def test_four_workers_train_the_network_that_one_process_trains(bench, ray):
    pytest.importorskip("torch", reason="the extra `deep` is not installed")
    spec = make_spec("mlp", params={"epochs": 12, "hidden": 32, "learning_rate": 0.01})
    with teams.formed(bench.settings, spec.train.resources) as team:
        victims: list[int] = []
        kept = bench.settings.home / "checkpoints" / "network"
        killer = threading.Thread(target=_kill_at_checkpoint, args=(team, kept, victims))
        killer.start()
        shared = fits.fit(team, bench.job(spec, "network"), spec.train.params, bench.lazy)
        killer.join()
        assert (len(victims), team.restarts) == (1, 1)
    one = bench.alone(spec)
    assert type(shared.named_steps["model"]) is type(one.named_steps["model"])
    assert abs(bench.auc(shared) - bench.auc(one)) < 0.02
    assert bench.agreement(shared, one) >= 0.9


@pytest.mark.slow
def test_a_shared_search_finds_what_a_lone_one_finds(bench, team):
    search = {
        "trials": 13,
        "space": {
            "learning_rate": {"low": 0.02, "high": 0.5, "log": True},
            "max_leaf_nodes": {"low": 3, "high": 20},
        },
    }
    spec = make_spec("hist_gradient_boosting", params={"max_iter": 8}, search=search)
    assert spec.train.search is not None
    shared = searches.search(team, bench.job(spec, "search"), spec.train.search, bench.lazy, "yes")
    lone = alone.search(spec, spec.train.search, bench.folder, bench.train, "yes")
    assert shared == lone
    assert shared.trials == 13


def test_an_estimator_that_cannot_be_shared_is_fitted_by_one_worker(bench, team):
    search = {"trials": 1, "space": {"max_iter": {"low": 5, "high": 9}}}
    spec = make_spec("hist_gradient_boosting", search=search)
    fitted = fits.fit(team, bench.job(spec, "one"), {"max_iter": 8}, bench.lazy)
    one = bench.alone(make_spec("hist_gradient_boosting", workers=1, params={"max_iter": 8}))
    np.testing.assert_array_equal(bench.chances(fitted), bench.chances(one))


@pytest.mark.slow
def test_the_step_stores_a_version_that_needs_no_ray_and_scores_alike_with_workers(bench, ray, monkeypatch):
    spec = make_spec(workers=2, params={"n_estimators": 20})
    trained = step.train(
        spec, bench.folder, bench.settings, bench.snapshot, bench.report(), "run", bench.folder / "out"
    )
    assert (trained.model.workers, trained.model.restarts) == (2, 0)
    registry = Registry(bench.settings)
    run = registry.client.get_run(trained.mlflow_run)
    assert run.data.metrics["workers"] == 2
    place = registry.folder_at(trained.uri)
    counted = ReferenceProfile.read(place / "pilotage")
    lone = references.build(
        bench.snapshot, bench.train, bench.rest,
        models.open_predictor(place, bench.settings).predict(bench.rest.columns), season=Season.NONE,
    )  # fmt: skip
    assert counted.features == lone.features
    assert counted.score == lone.score
    assert registry.register(spec.pilot, trained.mlflow_run, trained.uri, {}) == 1
    registry.promote(spec.pilot, 1)
    make_table(2_500, seed=9).drop(columns="late").to_parquet(
        bench.folder / "new-1.parquet", row_group_size=400
    )
    make_table(900, seed=8).drop(columns="late").to_parquet(
        bench.folder / "new-2.parquet", row_group_size=400
    )
    monkeypatch.setattr(score, "PART_ROWS", 1024)
    found = [
        score.score(spec.pilot, bench.settings, "new-*.parquet", bench.folder / f"{count}.parquet",
                    folder=bench.folder, resources=Resources(workers=count, cpu="500m"))
        for count in (1, 2)
    ]  # fmt: skip
    assert found[0].sha256 == found[1].sha256
    assert (found[1].rows, found[1].workers, found[1].key) == (3_400, 2, "id")
    assert pq.read_table(found[1].file).column("id").to_pylist()[2_500] == "r0"


def test_what_one_worker_cannot_read_names_the_row_and_what_is_done_stays(bench, ray, monkeypatch):
    monkeypatch.setattr(score, "PART_ROWS", 1024)
    bad = make_table(2_500, seed=9).drop(columns="late").astype({"x1": object})
    bad.loc[2_100, "x1"] = float("inf")
    bad.astype({"x1": float}).to_parquet(bench.folder / "bad.parquet", row_group_size=400)
    target = bench.folder / "bad-scores.parquet"
    with pytest.raises(errors.DataError, match=r"Row 2101 of `bad\.parquet` has inf in column `x1`"):
        score.score("late-trains", bench.settings, "bad.parquet", target, folder=bench.folder,
                    resources=Resources(workers=2, cpu="500m"))  # fmt: skip
    assert not target.exists()
    (bench.folder / "rows.csv").write_text("x0\n1\n")
    with pytest.raises(errors.SourceError, match="these are CSV"):
        score.score("late-trains", bench.settings, "rows.csv", target, folder=bench.folder,
                    resources=Resources(workers=WORKERS))  # fmt: skip


def test_wrong_parameters_and_rare_classes_are_errors_of_the_input(bench, team):
    spec = make_spec(params={"objective": "no:such"})
    with pytest.raises(errors.EstimatorError, match=r"Fitting xgboost with 4 workers failed: .*no:such"):
        fits.fit(team, bench.job(spec, "wrong"), spec.train.params, bench.lazy)
    assert team.restarts == 0
    few = replace(bench.train, target=np.where(np.arange(bench.train.rows) < 3, "rare", "usual"))
    with pytest.raises(errors.DataError, match="Class `rare` has 3 training rows, too few for 4 workers"):
        shards.deal(few.target, spec.task, WORKERS, 0)


def test_a_worker_that_is_lost_gives_its_item_to_another(bench, ray, tmp_path):
    with teams.formed(bench.settings, Resources(workers=2, cpu="500m")) as team:
        flag = tmp_path / "died"
        found = dict(team.each(_die_once, [(item, str(flag)) for item in range(6)]))
        assert found == {item: item * item for item in range(6)}
        assert team.restarts == 1


def _die_once(item: int, flag: str) -> int:
    if item == 3 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def test_workers_that_are_lost_again_and_again_fail_the_step(bench, ray):
    patient = bench.settings.model_copy(update={"ray_restarts": 1})
    lost = pytest.raises(errors.StepFailed, match="Workers were lost 2 times")
    with teams.formed(patient, Resources(workers=1, cpu="500m")) as team, lost:
        list(team.each(signal.raise_signal, [(signal.SIGKILL,)]))


def test_gpus_that_are_not_there_are_asked_for_in_vain(bench, ray):
    asked = teams.formed(bench.settings, Resources(workers=2, gpu=1))
    with pytest.raises(errors.SettingsError, match="2 workers ask for 2 GPU together, this machine has 0"):
        asked.__enter__()


TRAINING = textwrap.dedent(
    """
    import logging, sys
    from pathlib import Path
    from pilotage.components import ingest, train
    from pilotage.core import pilots, settings
    from pilotage.core.artifacts import Report

    logging.basicConfig(level=logging.INFO)
    pilot, installation = pilots.load(sys.argv[1]), settings.load()
    snapshot = ingest.ingest(pilot.spec, pilot.folder, installation, pilot.folder / "ingested")
    report = Report(pilot=pilot.name, snapshot=snapshot.digest, suite="a" * 64, drafted=True, success=True,
                    checks=(), created_at=snapshot.created_at)
    out = pilot.folder / "out"
    trained = train.train(pilot.spec, pilot.folder, installation, snapshot, report, "killed", out)
    print(trained.model.workers)
    """
)


@pytest.mark.slow
def test_a_killed_step_leaves_no_process_and_its_retry_goes_on_from_the_checkpoint(tmp_path):
    make_table(3_000).to_parquet(tmp_path / "rows.parquet")
    spec = make_spec(workers=2, params={"n_estimators": 1_000}).model_dump_json(exclude_unset=True)
    (tmp_path / "pilot.yaml").write_text(spec)
    scratch = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets' paths may not be long
    environment = {**os.environ, "TMPDIR": str(scratch), "PILOTAGE_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", TRAINING, str(tmp_path)]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    kept = tmp_path / "home" / "checkpoints" / "killed"
    while not (kept.is_dir() and any(not path.name.startswith(".") for path in kept.iterdir())):
        assert first.poll() is None
        time.sleep(0.02)
    family = psutil.Process(first.pid).children(recursive=True)
    heard = {
        connection.laddr.ip.removeprefix("::ffff:")
        for member in family
        if "ray::_Worker" not in " ".join(member.cmdline())
        for connection in member.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}
    first.kill()
    said = first.communicate()[1].decode()
    assert "UserWarning" not in said
    assert psutil.wait_procs(family, timeout=60)[1] == []
    while list(scratch.glob("pilotage-ray-*")):
        time.sleep(0.1)
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (0, "2\n"), second.stderr
    assert "training goes on after" in second.stderr
    assert list(scratch.glob("pilotage-ray-*")) == []
