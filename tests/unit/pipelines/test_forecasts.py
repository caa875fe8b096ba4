"""A pilot's forecast as a study: trained on parts of its rows, kept over a crash, answered in words."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pilotage.components.forecasts import plots, trials
from pilotage.components.forecasts.intervals import Interval
from pilotage.components.forecasts.trials import Trial
from pilotage.core import errors, pilots
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import forecasts, studies, tables
from pilotage.pipelines.forecasts import Options, answers, plans
from pilotage.pipelines.forecasts.answers import Verdict
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.studies import Kind

YAML = """\
version: 1
pilot: small
data: {{source: rows.csv, target: y}}
goal: {{metric: {metric}, target: {target}}}
train: {{estimator: {estimator}, params: {params}}}
"""


def write(
    folder: Path,
    *,
    metric: str = "accuracy",
    target: float = 0.999,
    estimator: str = "hist_gradient_boosting",
    params: str = "{max_iter: 10}",
    rows: int = 1200,
) -> PilotSpec:
    """A pilot of two useful and two useless features, whose labels are noisy."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4))
    y = (np.sin(2 * x[:, 0]) + x[:, 1] + rng.normal(0, 0.4, rows)) > 0
    lines = ["a,b,c,d,y", *(",".join(f"{v:.5f}" for v in row) + f",{int(y[i])}" for i, row in enumerate(x))]
    folder.mkdir(exist_ok=True)
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    text = YAML.format(metric=metric, target=target, estimator=estimator, params=params)
    (folder / "pilot.yaml").write_text(text)
    return pilots.load(folder).spec


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[forecasts.Document, Settings]:
    """The forecast of such a pilot, made once."""
    from pilotage.core import settings

    place = tmp_path_factory.mktemp("forecast")
    spec = write(place / "pilot")
    installation = settings.load(home=place / "home")
    document = forecasts.forecast(spec, place / "pilot", installation, Options(repeats=3), "ann")
    return document, installation


def test_the_document_tells_what_was_asked(found: tuple[forecasts.Document, Settings]):
    document, installation = found
    assert [answer.question.split()[0] for answer in document.answers] == ["What", "How", "More", "What"]
    assert document.rows + document.test_rows == 1200
    assert [point.factor for point in document.forecast] == [2.0, 5.0, 10.0] or document.refused
    assert document.costs[0].n == document.rows
    assert document.costs[-1].cpu_seconds.value > document.costs[0].cpu_seconds.value / 2
    assert {point.scale for point in document.points} == {0.25, 0.5, 1.0, 2.0}
    assert document.bigger_model is not None
    assert document.fewer_features is not None
    assert document.fewer_features.value > 0
    study = studies.latest(tables.connect(installation), "small", Kind.FORECAST)
    assert study is not None
    assert study.result == document.short
    assert forecasts.read(installation, study) == document


def test_the_picture_is_left_with_the_result(found: tuple[forecasts.Document, Settings]):
    document, installation = found
    study = studies.find(tables.connect(installation), document.study)
    picture = studies.read_file(installation, study, forecasts.PLOT).decode()
    assert picture.startswith("<svg")
    assert "target 0.999" in picture
    inline = plots.of_document(document.model_dump(mode="json"), styled=False)
    assert "<style>" not in inline
    assert "xmlns" not in inline


class Dies(BaseException):
    """What ends a process in the middle."""


def test_what_was_trained_before_a_crash_is_not_trained_again(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    spec = write(tmp_path / "pilot", estimator="logistic_regression", params="{}", rows=400)
    carried: list[Trial] = []
    real = trials.carry_out

    def watched(trial: Trial, *rest: Any) -> Any:
        if len(carried) == 5:
            raise Dies
        carried.append(trial)
        return real(trial, *rest)

    monkeypatch.setattr(trials, "carry_out", watched)
    options = Options(repeats=2)
    with pytest.raises(Dies):
        forecasts.forecast(spec, tmp_path / "pilot", installation, options, "ann")
    engine = tables.connect(installation)
    study = studies.latest(engine, "small", Kind.FORECAST)
    assert study is not None
    assert study.state is State.FAILED

    def counted(trial: Trial, *rest: Any) -> Any:
        carried.append(trial)
        return real(trial, *rest)

    monkeypatch.setattr(trials, "carry_out", counted)
    document = forecasts.forecast(spec, tmp_path / "pilot", installation, options, "bob", study=study.id)
    assert document.study == study.id
    assert document.kept == 5
    assert len(carried) == len(set(carried)) == document.kept + document.trained
    again = forecasts.forecast(spec, tmp_path / "pilot", installation, options, "bob")
    assert again.trained == 0
    assert again.forecast == document.forecast


def test_other_data_are_trained_on_anew(installation: Settings, tmp_path: Path):
    spec = write(tmp_path / "pilot", estimator="logistic_regression", params="{}", rows=400)
    forecasts.forecast(spec, tmp_path / "pilot", installation, Options(repeats=2), "ann")
    spec = write(tmp_path / "pilot", estimator="logistic_regression", params="{}", rows=420)
    assert forecasts.forecast(spec, tmp_path / "pilot", installation, Options(repeats=2), "ann").kept == 0


def test_a_metric_that_is_met_already_needs_no_rows(installation: Settings, tmp_path: Path):
    spec = write(tmp_path / "pilot", estimator="logistic_regression", params="{}", target=0.5, rows=400)
    document = forecasts.forecast(spec, tmp_path / "pilot", installation, Options(repeats=2), "ann")
    assert document.answers[1].verdict is Verdict.REACHED
    assert "no size to change" in document.answers[2].words


def test_a_metric_without_a_best_value_is_refused(installation: Settings, tmp_path: Path):
    spec = write(tmp_path / "pilot", metric="positive_likelihood_ratio")
    with pytest.raises(errors.SpecError, match="no best value"):
        forecasts.forecast(spec, tmp_path / "pilot", installation, Options(), "ann")


def test_the_plan_has_nested_sizes_with_more_repeats_of_the_smaller():
    found = plans.plan(32_000, 500, 6, Options(), scalable=True)
    plain = [trial for trial in found if trial.scale == trial.share == 1.0]
    sizes = sorted({trial.rows for trial in plain})
    assert sizes[-1] == 32_000
    assert all(later <= 2.05 * earlier for earlier, later in itertools.pairwise(sizes))
    counts = [sum(trial.rows == size for trial in plain) for size in sizes]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 2
    assert found == sorted(found, key=lambda trial: trial.rows)
    assert {trial.scale for trial in found} == {0.25, 0.5, 1.0, 2.0}
    few = plans.plan(32_000, 500, 2, Options(models=False), scalable=True)
    assert {trial.scale for trial in few} == {trial.share for trial in few} == {1.0}


def test_the_beginnings_of_an_order_are_samples_with_every_class():
    from pilotage.components.datasets import Dataset
    from pilotage.core.metrics import Task

    target = np.array(["rare"] * 20 + ["common"] * 380, dtype=object)
    dataset = Dataset((), {}, target)
    order = trials.nested(dataset, Task.CLASSIFICATION, 1)
    assert sorted(order.tolist()) == list(range(400))
    for size in (40, 100, 200):
        assert (target[order[:size]] == "rare").sum() == pytest.approx(size / 20, abs=1)
    assert trials.nested(dataset, Task.CLASSIFICATION, 2).tolist() != order.tolist()


def test_metrics_are_losses_and_back():
    assert trials.loss_of("roc_auc", 0.8) == pytest.approx(0.2)
    assert trials.loss_of("neg_root_mean_squared_error", -3.0) == 3.0
    for metric, value in (("r2", 0.3), ("neg_log_loss", -0.4)):
        assert trials.metric_of(metric, trials.loss_of(metric, value)) == pytest.approx(value)


SURE, NONE, UNSURE = Interval(0.02, 0.01, 0.03), Interval(0.0, -0.002, 0.002), Interval(0.004, -0.001, 0.009)


@pytest.mark.parametrize(
    ("data", "model", "left", "verdict"),
    [
        pytest.param(SURE, NONE, None, Verdict.DATA, id="data"),
        pytest.param(UNSURE, SURE, None, Verdict.MODEL, id="model"),
        pytest.param(SURE, SURE, None, Verdict.CANNOT_TELL, id="both-alike"),
        pytest.param(Interval(0.1, 0.08, 0.12), SURE, None, Verdict.DATA, id="both-data-more"),
        pytest.param(SURE, Interval(0.1, 0.08, 0.12), None, Verdict.MODEL, id="both-model-more"),
        pytest.param(NONE, NONE, Interval(0.001, 0.0, 0.003), Verdict.FEATURES, id="neither"),
        pytest.param(NONE, NONE, Interval(0.2, 0.1, 0.3), Verdict.CANNOT_TELL, id="neither-yet-much-left"),
        pytest.param(None, NONE, None, Verdict.CANNOT_TELL, id="no-curve"),
        pytest.param(SURE, None, None, Verdict.DATA, id="no-model"),
    ],
)
def test_the_better_buy_is_only_what_is_sure(data: Any, model: Any, left: Any, verdict: Verdict):
    told = answers.better_buy(
        data, model, None, left, why_no_data="it is flat", why_no_model="none was tried"
    )
    assert told.verdict is verdict


@pytest.mark.parametrize(
    ("current", "reached", "refused", "verdict"),
    [
        pytest.param(0.9, (None, None, None), "", Verdict.REACHED, id="reached"),
        pytest.param(0.7, (2000.0, 1500.0, 4000.0), "", Verdict.IN_REACH, id="in-reach"),
        pytest.param(0.7, (2000.0, 1500.0, None), "", Verdict.IN_REACH, id="in-reach-perhaps-late"),
        pytest.param(0.7, (None, 9000.0, None), "", Verdict.CANNOT_TELL, id="perhaps"),
        pytest.param(0.7, (None, None, None), "", Verdict.OUT_OF_REACH, id="out-of-reach"),
        pytest.param(0.7, (None, None, None), "the curve is flat", Verdict.CANNOT_TELL, id="refused"),
    ],
)
def test_the_target_is_in_reach_only_where_the_interval_says_so(
    current: float, reached: Any, refused: str, verdict: Verdict
):
    told, bounds = answers.target("roc_auc", 0.8, current, reached, 1000, refused, 16.0)
    assert told.verdict is verdict
    assert (bounds is not None) == (verdict is Verdict.IN_REACH)


def test_given_points_are_fitted_by_what_they_are(tmp_path: Path):
    from pilotage.components.forecasts import documents, points

    sizes = [16 * 2**step for step in range(8)]
    curve = points.parse("n,error\n" + "\n".join(f"{n},{0.1 + n**-0.5:.6f}" for n in sizes))
    told = documents.of_points(curve, [(3000, None)])
    assert told["refused"] is None
    assert [round(point["n"]) for point in told["forecast"]] == [3000, 4096, 10240, 20480]
    assert json.dumps(told)
    far = documents.of_points(curve, [(10**6, None)])
    assert "more than 16 times" in far["refused"]
    with pytest.raises(errors.SettingsError, match="has data"):
        documents.of_points(curve, [(1000, 10)])
