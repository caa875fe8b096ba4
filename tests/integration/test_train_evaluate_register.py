"""From a snapshot to a version in a real MLflow store: what is stored, who wins, what a retry changes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pilotage.components import evaluate, ingest, register, train
from pilotage.core import errors, features, forms, models, pilots, samples, settings
from pilotage.core.artifacts import Decision, ModelFormat, Report, Scorecard, Snapshot, TrainedModel, Version
from pilotage.core.features import from_rows, to_frame
from pilotage.core.forms import FormPredictor
from pilotage.core.models import Predictor
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Alias, Registry
from pilotage.core.specs import Season
from pilotage.serving.versions import lives

BASE: dict[str, Any] = {
    "version": 1,
    "pilot": "late-trains",
    "goal": {"metric": "roc_auc"},
    "data": {"source": "trains.csv", "target": "late"},
    "train": {"estimator": "logistic_regression"},
}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store that is created once, for making one takes seconds."""
    place = tmp_path_factory.mktemp("store")
    Registry(settings.load(home=place)).client  # noqa: B018 - its first use creates the store
    return place / "mlflow.db"


@dataclass
class Bench:
    """A pilot's folder and the steps run by hand."""

    folder: Path
    installation: settings.Settings

    def write(self, rows: int = 600, seed: int = 0, strength: float = 2.0, **changes: Any) -> None:
        rng = np.random.default_rng(seed)
        delay, line = rng.normal(size=rows), rng.integers(0, 4, rows)
        table = pd.DataFrame(
            {
                "delay": np.where(rng.random(rows) < 0.05, np.nan, delay),
                "line": pd.Series(np.array(["S1", "S2", "U3", "Bus"])[line]).mask(rng.random(rows) < 0.05),
                "holiday": rng.random(rows) < 0.2,
                "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="h"),
                "late": strength * delay + (line == 2) + rng.normal(size=rows) > 0.8,
                "minutes": 10 + 3 * delay + rng.normal(size=rows),
                "kind": np.digitize(delay, [-0.5, 0.5]),
            }
        )
        self.table = table.assign(late=np.where(table["late"], "yes", "no"))
        self.table.to_csv(self.folder / "trains.csv", index=False)
        self.spec(**changes)

    def spec(self, **changes: Any) -> None:
        content: dict[str, Any] = {
            key: {**value} if isinstance(value, dict) else value for key, value in BASE.items()
        }
        for key, value in changes.items():
            content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
        if "exclude" not in content["data"]:
            target = content["data"]["target"]
            content["data"]["exclude"] = [name for name in ("late", "minutes", "kind") if name != target]
        (self.folder / "pilot.yaml").write_text(yaml.safe_dump(content))

    @property
    def pilot(self) -> pilots.Pilot:
        return pilots.load(self.folder)

    @property
    def registry(self) -> Registry:
        return Registry(self.installation)

    def ingested(self) -> tuple[Snapshot, Report]:
        pilot = self.pilot
        snapshot = ingest.ingest(pilot.spec, pilot.folder, self.installation, self.folder / "out" / "ingest")
        report = Report(
            pilot=pilot.name,
            snapshot=snapshot.digest,
            suite="a" * 64,
            drafted=True,
            success=True,
            checks=(),
            created_at=datetime.now(UTC),
        )
        return snapshot, report

    def trained(self, run: str = "r1") -> tuple[Snapshot, Report, TrainedModel]:
        pilot, (snapshot, report) = self.pilot, self.ingested()
        out = self.folder / "out" / "train"
        model = train.train(pilot.spec, pilot.folder, self.installation, snapshot, report, run, out)
        return snapshot, report, model

    def evaluated(self, run: str = "r1") -> tuple[Snapshot, Report, TrainedModel, Scorecard]:
        pilot, (snapshot, report, trained) = self.pilot, self.trained(run)
        out = self.folder / "out" / "evaluate"
        scorecard = evaluate.evaluate(
            pilot.spec, pilot.folder, self.installation, snapshot, report, trained, out
        )
        return snapshot, report, trained, scorecard

    def registered(self, run: str = "r1", inputs: Any = None) -> Version:
        pilot, inputs = self.pilot, inputs or self.evaluated(run)
        out = self.folder / "out" / "register"
        snapshot, report, trained, scorecard = inputs
        return register.register(
            pilot.spec,
            pilot.folder,
            self.installation,
            snapshot,
            report,
            trained,
            scorecard,
            run,
            out,
        )


@pytest.fixture
def bench(tmp_path: Path, home: Path, empty_store: Path) -> Bench:
    home.mkdir()
    shutil.copy(empty_store, home / "mlflow.db")
    (tmp_path / "pilot").mkdir()
    made = Bench(tmp_path / "pilot", settings.load())
    made.write()
    return made


def folder_of(bench: Bench, trained: TrainedModel) -> Path:
    return bench.registry.folder_at(bench.registry.model_location(trained.uri))


@pytest.mark.parametrize(
    ("target", "metric"),
    [("late", "roc_auc"), ("kind", "accuracy"), ("minutes", "neg_mean_absolute_error")],
    ids=["two classes", "three classes", "regression"],
)
def test_five_lines_of_yaml_give_a_champion(bench, target, metric):
    bench.spec(
        goal={"metric": metric},
        data={"source": "trains.csv", "target": target},
        train={"estimator": "hist_gradient_boosting"},
    )
    snapshot, report, trained, scorecard = bench.evaluated()
    version = bench.registered(inputs=(snapshot, report, trained, scorecard))
    assert version.promoted
    assert bench.registry.aliases("late-trains") == {Alias.CHAMPION: 1}
    assert trained.model.format is ModelFormat.SKOPS
    estimate = scorecard.metrics[metric]
    assert estimate.low < estimate.value < estimate.high
    assert estimate.value > scorecard.baseline.metrics[metric]
    guess = scorecard.baseline.guess
    assert guess in trained.model.classes or (metric.startswith("neg") and isinstance(guess, float))
    assert scorecard.latency.calls > 0
    for out, name in (("train", "trained.json"), ("evaluate", "card.md"), ("evaluate", "card.html")):
        assert (bench.folder / "out" / out / name).stat().st_size
    assert Scorecard.read(bench.folder / "out" / "evaluate") == scorecard
    assert Version.read(bench.folder / "out" / "register") == version


def test_what_is_stored_predicts_alike_through_pilotage_and_plain_mlflow(bench, monkeypatch):
    import mlflow.pyfunc

    bench.spec(train={"estimator": "hist_gradient_boosting", "params": {"max_iter": 20}})
    _, _, trained = bench.trained()
    folder = folder_of(bench, trained)
    predictor = models.open_predictor(folder, bench.installation)
    rows: list[dict[str, Any]] = [
        {"delay": 1.5, "line": "U3", "holiday": True, "at": "2026-02-01T10:00:00"},
        {"delay": None, "line": "never seen", "holiday": None, "at": None},
    ]
    columns = from_rows(predictor.model.features, rows)
    found = predictor.predict(columns)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    plain = mlflow.pyfunc.load_model(str(folder))
    assert list(plain.predict(to_frame(columns))) == found.predictions.tolist()
    assert plain.input_example.shape == (1, len(predictor.model.features))
    assert plain.metadata.signature.inputs.input_names() == [item.name for item in trained.model.features]
    assert any(
        line.startswith("scikit-learn==") for line in (folder / "requirements.txt").read_text().splitlines()
    )


def test_the_profile_counts_training_rows_by_block_and_held_out_scores(bench):
    bench.spec(data={"time": "at"})
    _, _, trained = bench.trained()
    profile = ReferenceProfile.read(folder_of(bench, trained) / "pilotage")
    model = trained.model
    assert profile.rows == model.train_rows == 480
    assert profile.block_seconds == 86_400
    assert 20 <= len(profile.features["delay"].blocks) <= 21
    assert sum(map(sum, profile.features["delay"].blocks)) == 480
    assert profile.prediction is not None
    assert sum(profile.score.counts) == sum(profile.prediction.counts) == model.test_rows == 120
    assert profile.last_at == model.trained_until


def test_scores_have_blocks_of_their_own_and_all_profiles_their_seasons(bench):
    bench.spec(data={"time": "at"}, monitor={"drift": {"season": "hour"}})
    _, _, trained = bench.trained()
    profile = ReferenceProfile.read(folder_of(bench, trained) / "pilotage")
    assert profile.prediction is not None
    for part in (profile.score, profile.prediction):
        assert 5 <= len(part.blocks) <= 6
        assert np.sum(part.blocks, axis=0).tolist() == list(part.counts)
    assert profile.season is Season.HOUR
    for part in (*profile.features.values(), profile.score, profile.prediction):
        assert np.sum(part.seasons, axis=0).tolist() == list(part.counts)
    assert {sum(counts) for counts in profile.features["delay"].seasons} == {20}


def test_importances_tell_what_the_model_leans_on(bench):
    bench.spec(train={"estimator": "hist_gradient_boosting", "params": {"max_iter": 20}})
    found = ReferenceProfile.read(folder_of(bench, bench.trained()[2]) / "pilotage").importances
    assert list(found) == ["delay", "line", "holiday", "at"]
    assert sum(found.values()) == pytest.approx(1)
    assert found["delay"] > 0.5 > found["line"] > found["holiday"]


@pytest.mark.parametrize(("target", "metric"), [("late", "roc_auc"), ("minutes", "r2")])
def test_held_out_rows_are_kept_with_what_the_model_said_of_them(bench, target, metric):
    bench.table["id"] = [f"t{row}" for row in range(len(bench.table))]
    bench.table.to_csv(bench.folder / "trains.csv", index=False)
    bench.spec(goal={"metric": metric}, data={"target": target, "time": "at", "key": "id"})
    version = bench.registered()
    kept = bench.registry.reference(bench.registry.version("late-trains", version.version))
    folder = bench.registry.folder(bench.registry.version("late-trains", version.version))
    predictor = models.open_predictor(folder, bench.installation)
    said = predictor.predict(samples.columns_of(kept, predictor.model.features))
    rows = [int(key[1:]) for key in kept["id"].to_pylist()]
    assert sorted(rows) == list(range(480, 600)) != rows
    assert kept["priority"].to_pylist() == sorted(kept["priority"].to_pylist())
    assert [time.replace(tzinfo=None) for time in kept["time"].to_pylist()] == list(bench.table["at"][rows])
    np.testing.assert_allclose(kept["score"].to_numpy(), said.score)
    if metric == "r2":
        assert kept["probabilities"].null_count == len(rows)
        assert kept["truth"].to_pylist() == [repr(float(x)) for x in bench.table["minutes"][rows]]
        assert kept["prediction"].to_pylist() == [repr(score) for score in kept["score"].to_pylist()]
    else:
        assert said.probabilities is not None
        np.testing.assert_allclose(np.stack(kept["probabilities"].to_pylist()), said.probabilities)
        assert kept["truth"].to_pylist() == list(bench.table["late"][rows])
        assert kept["prediction"].to_pylist() == said.predictions.tolist()


@pytest.mark.parametrize(("most", "kept"), [(7, 7), (0, None)])
def test_how_many_held_out_rows_are_kept_is_a_setting(bench, monkeypatch, most, kept):
    monkeypatch.setenv("PILOTAGE_REFERENCE_SAMPLE", str(most))
    bench.installation = settings.load()
    version = bench.registered()
    found = bench.registry.reference(bench.registry.version("late-trains", version.version))
    assert (None if found is None else found.num_rows) == kept


def test_the_run_in_mlflow_has_params_metrics_digests_and_is_finished(bench):
    snapshot, _, trained, scorecard = bench.evaluated()
    run = bench.registry.client.get_run(trained.mlflow_run)
    assert run.info.status == "FINISHED"
    assert run.data.params["snapshot"] == snapshot.digest
    assert run.data.params["seed"] == "42"
    assert run.data.metrics["roc_auc"] == pytest.approx(scorecard.metrics["roc_auc"].value)
    assert run.data.tags["pilotage.run"] == "r1"


def test_a_search_finds_stops_and_logs_trials(bench):
    space = {"C": {"low": 1e-6, "high": 10.0, "log": True}, "fit_intercept": {"choices": [True, False]}}
    bench.spec(train={"search": {"trials": 12, "timeout": "1m", "space": space}})
    _, _, trained = bench.trained()
    again = bench.trained("r2")[2]
    assert trained.model.params == again.model.params
    assert set(trained.model.params) == {"C", "fit_intercept"}
    assert (trained.model.trials, set(trained.model.validation)) == (12, {"roc_auc"})
    trials = json.loads(bench.registry.run_file(trained.mlflow_run, train.TRIALS_FILE).read_text())
    complete = [trial for trial in trials if trial["state"] == "complete"]
    assert len(trials) == 12
    assert trained.model.pruned == len(trials) - len(complete) > 0
    assert max(trial["value"] for trial in complete) == trained.model.validation["roc_auc"]
    assert {len(trial["folds"]) for trial in complete} == {3}
    assert min(len(trial["folds"]) for trial in trials) < 3


def test_a_failed_training_does_not_leave_its_run_open(bench):
    bench.spec(train={"params": {"C": -1.0}})
    with pytest.raises(errors.EstimatorError, match="C"):
        bench.trained()
    client = bench.registry.client
    experiment = client.get_experiment_by_name("late-trains")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_a_useless_model_is_registered_but_not_promoted(bench):
    bench.write(strength=0.0, rows=300, seed=3)
    bench.table["late"] = np.random.default_rng(1).permutation(bench.table["late"])
    bench.table.to_csv(bench.folder / "trains.csv", index=False)
    bench.spec(gates=[{"metric": "roc_auc", "min": 0.75}])
    version = bench.registered()
    assert version.decision is Decision.REFUSED
    assert "roc_auc >= 0.75" in version.reason
    assert bench.registry.aliases("late-trains") == {Alias.CHALLENGER: 1}


def test_a_model_no_better_than_guessing_fails_the_gate_that_is_always_on(bench):
    (bench.folder / "constant.py").write_text(
        "from sklearn.dummy import DummyClassifier\n"
        "def build():\n    return DummyClassifier(strategy='prior')\n"
    )
    bench.spec(train={"estimator": "constant:build"})
    snapshot, report, trained, scorecard = bench.evaluated()
    assert [(verdict.gate, verdict.passed) for verdict in scorecard.gates] == [
        ("roc_auc against baseline", False),
        ("roc_auc against champion", True),
    ]
    assert bench.registered(inputs=(snapshot, report, trained, scorecard)).decision is Decision.REFUSED


def test_a_challenger_that_loses_to_the_champion_is_not_promoted(bench):
    bench.registered("r1")
    bench.spec(
        train={"estimator": "logistic_regression", "params": {"C": 1e-9, "fit_intercept": False}},
        data={"exclude": ["delay", "minutes", "kind"]},
    )
    snapshot, report, trained, scorecard = bench.evaluated("r2")
    version = bench.registered("r2", (snapshot, report, trained, scorecard))
    assert scorecard.champion.version == 1
    assert scorecard.champion.metrics["roc_auc"] > scorecard.metrics["roc_auc"].value
    assert version.decision is Decision.REFUSED
    assert "against champion" in version.reason
    assert bench.registry.aliases("late-trains") == {Alias.CHAMPION: 1, Alias.CHALLENGER: 2}


def test_a_better_challenger_takes_the_champions_place(bench):
    bench.spec(data={"exclude": ["delay", "minutes", "kind"]}, train={"params": {"C": 1.0}})
    bench.registered("r1")
    bench.spec()
    version = bench.registered("r2")
    assert (version.version, version.promoted, version.replaced) == (2, True, 1)
    assert bench.registry.aliases("late-trains") == {Alias.CHAMPION: 2, Alias.PREVIOUS: 1}


def test_a_champion_whose_feature_is_gone_fails_its_gate_with_the_reason(bench):
    bench.registered("r1")
    bench.table.drop(columns="delay").to_csv(bench.folder / "trains.csv", index=False)
    _snapshot, _report, _trained, scorecard = bench.evaluated("r2")
    verdict = next(item for item in scorecard.gates if item.gate == "roc_auc against champion")
    assert not verdict.passed
    assert "version 1 cannot be asked" in verdict.reason
    assert "`delay`" in verdict.reason


def test_with_manual_approval_a_good_version_waits(bench):
    bench.spec(approval="manual")
    version = bench.registered()
    assert version.decision is Decision.PENDING
    assert bench.registry.aliases("late-trains") == {Alias.CHALLENGER: 1}
    assert bench.registry.version("late-trains", 1).tags["pilotage.decision"] == "pending"


@pytest.mark.parametrize("decision", [Decision.PROMOTED, Decision.REJECTED])
def test_registering_again_does_not_ask_again_what_a_person_decided(bench, decision):
    bench.spec(approval="manual")
    inputs = bench.evaluated()
    bench.registered(inputs=inputs)
    tags = {"pilotage.decision": decision.value, "pilotage.reason": "said so"}
    bench.registry.tag("late-trains", 1, tags)
    again = bench.registered(inputs=inputs)
    assert (again.decision, again.reason) == (decision, "said so")


def test_registering_again_is_the_same_version_with_the_same_tags(bench):
    inputs = bench.evaluated()
    first, second = bench.registered(inputs=inputs), bench.registered(inputs=inputs)
    assert (first.version, first.replaced, first.decision) == (
        second.version,
        second.replaced,
        second.decision,
    )
    registered = bench.registry.version("late-trains", 1)
    assert len(bench.registry.versions("late-trains")) == 1
    assert registered.tags["pilotage.snapshot"] == inputs[0].digest
    assert registered.tags["pilotage.suite"] == "a" * 64
    assert registered.tags["pilotage.scorecard"] == inputs[3].content_digest
    assert bench.registry.scorecard(registered) == inputs[3]
    assert bench.registry.run_file(registered.run, "card.md").read_text().startswith("# late-trains")


def test_a_champion_that_changed_since_the_comparison_asks_to_evaluate_again(bench):
    first, second = bench.evaluated("r1"), bench.evaluated("r2")
    bench.registered("r1", first)
    with pytest.raises(errors.Failure, match=r"Version 1 .* became champion.*Evaluate again"):
        bench.registered("r2", second)
    assert bench.registry.aliases("late-trains") == {Alias.CHAMPION: 1}


def test_artifacts_of_different_snapshots_are_not_registered_together(bench):
    snapshot, report, trained, scorecard = bench.evaluated()
    with pytest.raises(errors.DataError, match="The report is of snapshot"):
        bench.registered(
            inputs=(snapshot, report.model_copy(update={"snapshot": "b" * 64}), trained, scorecard)
        )


def test_gates_by_group_are_judged_also_by_a_column_that_is_no_feature(bench):
    bench.write(
        rows=1500,
        gates=[
            {"metric": "demographic_parity_difference", "by": "line", "max": 0.9},
            {"metric": "group_metric_difference", "by": "holiday", "max": 0.9},
            {"metric": "equalized_odds_difference", "by": "delay", "max": 0.0},
            {"metric": "latency_p99_ms", "max": 10_000},
            {"metric": "latency_p50_ms", "against": "champion", "margin": -10_000},
        ],
        data={"exclude": ["line", "minutes", "kind"]},
    )
    bench.registered("r1")
    _, _, _, scorecard = bench.evaluated("r2")
    assert {verdict.gate: verdict.passed for verdict in scorecard.gates if not verdict.passed} == {
        "equalized_odds_difference by delay <= 0": False
    }
    assert {fair.by: {group.value for group in fair.groups} for fair in scorecard.fairness}["holiday"] <= {
        "true",
        "false",
    }


def test_a_gate_by_a_column_that_is_not_there_is_an_error(bench):
    bench.spec(gates=[{"metric": "demographic_parity_difference", "by": "gender", "max": 0.2}])
    with pytest.raises(errors.DataError, match=r"`gates\.0\.by` names column `gender`"):
        bench.evaluated()


def test_the_card_escapes_what_the_data_says_and_loads_nothing(bench):
    bench.table["line"] = np.where(bench.table["line"] == "U3", "<script>|x", bench.table["line"])
    bench.table.to_csv(bench.folder / "trains.csv", index=False)
    bench.spec(gates=[{"metric": "group_metric_difference", "by": "line", "max": 1}])
    bench.evaluated()
    page, text = ((bench.folder / "out" / "evaluate" / name).read_text() for name in ("card.html", "card.md"))
    assert "<script>" not in page
    assert "&lt;script&gt;|x" in page
    assert r"\<script>\|x" in text
    assert not re.search(r"""src=|href=(?!"#)|url\(|https?://""", page)


def test_worth_is_held_against_baseline_and_champion(bench):
    value = {"true_positive": 10, "false_positive": -4, "false_negative": -6, "currency": "EUR"}
    bench.spec(
        goal={"metric": "roc_auc", "value": value},
        gates=[{"metric": "business_value", "against": "baseline"}],
    )
    bench.registered("r1")
    _, _, _, scorecard = bench.evaluated("r2")
    assert scorecard.worth.per_row > scorecard.worth.baseline_per_row
    assert scorecard.worth.champion_per_row == pytest.approx(scorecard.worth.per_row)
    assert scorecard.worth.total == pytest.approx(scorecard.worth.per_row * scorecard.test_rows)


OWN = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from own_threshold_rule import THRESHOLD

class Threshold(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(THRESHOLD - X["delay"].fillna(0).to_numpy()))
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

def build():
    return Threshold()
"""


def test_a_pickled_model_loads_only_where_the_settings_allow_it(bench, tmp_path):
    (bench.folder / "own_threshold.py").write_text(OWN)
    (bench.folder / "own_threshold_rule.py").write_text("THRESHOLD = 0.4\n")
    bench.spec(train={"estimator": "own_threshold:build"})
    snapshot, report, trained, scorecard = bench.evaluated()
    assert trained.model.format is ModelFormat.PICKLE
    assert bench.registered(inputs=(snapshot, report, trained, scorecard)).promoted
    folder = folder_of(bench, trained)
    assert (folder / "code" / "own_threshold_rule.py").is_file()
    with pytest.raises(errors.UntrustedModel):
        models.open_predictor(folder, settings.load(allow_pickle="never"))
    with pytest.raises(errors.UntrustedModel, match="did not sign"):
        models.open_predictor(folder, settings.load(home=tmp_path / "elsewhere"))
    script = (
        "import sys; from pathlib import Path; from pilotage.core import models, settings\n"
        "predictor = models.open_predictor(Path(sys.argv[1]), settings.load())\n"
        "print(type(predictor.estimator).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "Threshold"


def test_an_estimator_that_cannot_be_stored_is_the_users_error(bench):
    (bench.folder / "own_lock.py").write_text(
        "import threading\nfrom sklearn.dummy import DummyClassifier\n"
        "class Locked(DummyClassifier):\n"
        "    def fit(self, X, y):\n"
        "        self.lock = threading.Lock()\n"
        "        return super().fit(X, y)\n"
        "def build():\n    return Locked()\n"
    )
    bench.spec(train={"estimator": "own_lock:build"})
    with pytest.raises(errors.EstimatorError, match="cannot be stored"):
        bench.trained()


KILLED = textwrap.dedent(
    """
    import os, sys, signal
    from datetime import UTC, datetime
    from pathlib import Path
    from pilotage.components import evaluate, ingest, register, train
    from pilotage.core import pilots, settings
    from pilotage.core.artifacts import Report
    from pilotage.core.registry import Registry

    def die(*arguments, **named):
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(Registry, sys.argv[2], die)
    pilot, installation = pilots.load(sys.argv[1]), settings.load()
    out = pilot.folder / "out"
    snapshot = ingest.ingest(pilot.spec, pilot.folder, installation, out)
    report = Report(pilot=pilot.name, snapshot=snapshot.digest, suite="a" * 64, drafted=True, success=True,
                    checks=(), created_at=datetime.now(UTC))
    trained = train.train(pilot.spec, pilot.folder, installation, snapshot, report, "killed", out)
    scorecard = evaluate.evaluate(pilot.spec, pilot.folder, installation, snapshot, report, trained, out)
    found = (snapshot, report, trained, scorecard)
    register.register(pilot.spec, pilot.folder, installation, *found, "killed", out)
    """
)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["log_model", "register", "promote", "tag"])
def test_killed_at_any_moment_the_champion_stays_and_the_next_run_carries_on(bench, moment):
    bench.registered("before")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(bench.folder), moment],
        env={**os.environ, "PILOTAGE_HOME": str(bench.installation.home)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    champion = bench.registry.champion("late-trains")
    assert champion is not None
    assert bench.registry.model(champion).pilot == "late-trains"
    version = bench.registered("killed")
    assert version.promoted
    assert bench.registry.aliases("late-trains")[Alias.CHAMPION] == version.version
    client = bench.registry.client
    experiment = client.get_experiment_by_name("late-trains")
    assert "RUNNING" not in {run.info.status for run in client.search_runs([experiment.experiment_id])}


def form_of(bench, version: int = 1):
    """What stands in the version's tags of its form, and the form itself."""
    registered = bench.registry.version("late-trains", version)
    folder = bench.registry.folder(registered)
    return registered.tags["pilotage.form"], forms.open_form(folder, bench.registry.model(registered))


def test_a_version_has_a_form_that_agreed_on_every_held_out_row(bench):
    bench.spec(train={"estimator": "hist_gradient_boosting", "params": {"max_iter": 20}})
    _, _, trained, _ = inputs = bench.evaluated()
    bench.registered(inputs=inputs)
    said, form = form_of(bench)
    assert said == "ready"
    assert form.form.rows == trained.model.test_rows > 100
    assert form.form.difference <= form.form.tolerance <= 1e-6
    assert models.is_own(folder_of(bench, trained), bench.installation)
    assert sorted(path.name for path in (folder_of(bench, trained) / "pilotage").iterdir()) == [
        "form", "model.json", "profile.json", "reference.parquet", "signature",
    ]  # fmt: skip


def test_a_model_that_cannot_be_compiled_is_registered_with_the_reason(bench):
    (bench.folder / "constant.py").write_text(
        "from sklearn.dummy import DummyClassifier\n"
        "def build():\n    return DummyClassifier(strategy='prior')\n"
    )
    bench.spec(train={"estimator": "constant:build"})
    bench.registered()
    said, form = form_of(bench)
    assert said.startswith("refused: ")
    assert "`line`" in said
    assert form is None


def test_a_form_that_differs_on_one_held_out_row_is_refused_with_the_row(bench, monkeypatch):
    inputs = bench.evaluated()
    honest = FormPredictor.predict

    def lies(self, columns):
        found = honest(self, columns)
        assert found.probabilities is not None
        found.probabilities[7] += [1e-4, -1e-4]
        return found

    monkeypatch.setattr(FormPredictor, "predict", lies)
    version = bench.registered(inputs=inputs)
    said, form = form_of(bench)
    assert version.promoted
    assert "held-out rows differ by more than 1e-06, row 7 by 0.0001" in said
    assert form is None


def test_registering_again_keeps_the_form_that_is_there(bench):
    inputs = bench.evaluated()
    bench.registered(inputs=inputs)
    file = folder_of(bench, inputs[2]) / forms.FOLDER / "form.json"
    before = file.stat().st_mtime_ns
    bench.registered(inputs=inputs)
    assert file.stat().st_mtime_ns == before
    assert form_of(bench)[0] == "ready"


def test_a_registration_that_died_before_it_signed_the_form_can_be_repeated(bench, monkeypatch):
    inputs = bench.evaluated()

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(models, "sign", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.registered(inputs=inputs)
    assert not models.is_own(folder_of(bench, inputs[2]), bench.installation)
    bench.registered(inputs=inputs)
    assert models.is_own(folder_of(bench, inputs[2]), bench.installation)
    assert form_of(bench)[1] is not None


def test_a_server_answers_from_the_form_and_from_the_trained_model_when_that_was_changed(bench):
    bench.registered()
    registered = bench.registry.version("late-trains", 1)
    live = lives.load(bench.registry, bench.installation, registered)
    assert isinstance(live.predictor, FormPredictor)
    folder = bench.registry.folder(registered)
    wanted = models.open_predictor(folder, bench.installation).predict(live.typical)
    assert live.predictor.predict(live.typical).score == pytest.approx(wanted.score, abs=1e-12)
    graph = folder / forms.FOLDER / forms.GRAPH
    graph.write_bytes(graph.read_bytes()[:-1])
    changed = lives.load(bench.registry, bench.installation, registered)
    assert isinstance(changed.predictor, Predictor)
    assert changed.predictor.predict(live.typical).score == pytest.approx(wanted.score, abs=1e-12)


CODES = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class Codes(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        X["line"] = X["line"].astype("category").cat.codes  # numbers that depend on the batch
        delay = X["delay"].fillna(0).to_numpy()
        p = 1 / (1 + np.exp(0.4 - delay - 0.01 * X["line"].to_numpy()))
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

def build():
    return Codes()
"""


@pytest.mark.parametrize("approval", ["auto", "manual"])
def test_a_version_of_which_training_and_serving_disagree_is_refused_with_both_values(bench, approval):
    (bench.folder / "own_codes.py").write_text(CODES)
    bench.spec(train={"estimator": "own_codes:build"}, approval=approval)
    _, _, _, scorecard = inputs = bench.evaluated()
    assert scorecard.passed
    version = bench.registered(inputs=inputs)
    assert (version.decision, version.promoted) == (Decision.REFUSED, False)
    said = version.skew
    assert re.search(
        r"found: the stored model says '.*' .* of row \d+ .* in training and '.*' .* alone in serving", said
    )
    assert version.reason == f"training and serving disagree: {said.removeprefix('found: ')}"
    registered = bench.registry.version("late-trains", 1)
    assert registered.tags["pilotage.skew"] == said
    assert registered.tags["pilotage.decision"] == "refused"
    assert bench.registry.aliases("late-trains") == {Alias.CHALLENGER: 1}
    again = bench.registered(inputs=inputs)
    assert (again.version, again.decision, again.skew) == (1, Decision.REFUSED, said)


def test_a_feature_that_serving_reads_otherwise_refuses_the_version_by_name(bench, monkeypatch):
    inputs = bench.evaluated()
    honest = features.from_values

    def in_seconds(feature, values):
        column = honest(feature, values)
        return column.astype("datetime64[D]").astype("datetime64[us]") if feature.name == "at" else column

    monkeypatch.setattr(features, "from_values", in_seconds)
    version = bench.registered(inputs=inputs)
    assert version.decision is Decision.REFUSED
    assert re.search(r"feature `at` of row \d+ .* is datetime\..* in training and datetime\.", version.reason)


def test_a_version_on_which_both_agree_says_so(bench):
    bench.spec(train={"estimator": "random_forest", "params": {"n_estimators": 20}}, data={"time": "at"})
    version = bench.registered()
    assert (version.skew, version.promoted) == ("none", True)
    assert bench.registry.version("late-trains", 1).tags["pilotage.skew"] == "none"
    stored = json.loads((bench.folder / "out" / "register" / "version.json").read_text())
    assert stored["skew"] == "none"
