"""What pilot.yaml and settings may say of workers, and which line is told to be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.core import errors, pilots, settings
from pilotage.core.specs import DISTRIBUTED, PilotSpec

SEARCH = {"space": {"max_depth": {"low": 2, "high": 9}}}


def spec(train: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"version": 1, "pilot": "p", "goal": {"metric": "r2"}, "data": {"source": "a.csv", "target": "y"}}
    return {**base, "train": train, **more}


@pytest.mark.parametrize("estimator", DISTRIBUTED)
def test_estimators_that_share_rows_take_workers(estimator):
    found = PilotSpec.model_validate(spec({"estimator": estimator, "resources": {"workers": 4}}))
    assert found.train.resources.workers == 4


@pytest.mark.parametrize("estimator", ["hist_gradient_boosting", "random_forest", "mine:build"])
def test_others_take_workers_for_a_search_only(estimator):
    train = {"estimator": estimator, "resources": {"workers": 4}}
    assert PilotSpec.model_validate(spec({**train, "search": SEARCH})).train.search is not None
    with pytest.raises(
        ValueError, match=f"`{estimator}` trains in one process; take xgboost, lightgbm or mlp"
    ):
        PilotSpec.model_validate(spec(train))


def test_the_line_is_named(tmp_path):
    (tmp_path / "pilot.yaml").write_text(
        "version: 1\npilot: p\ngoal: {metric: r2}\ndata: {source: a.csv, target: y}\n"
        "train:\n  resources:\n    cpu: 1\n    workers: 3\n"
    )
    with pytest.raises(errors.SpecError) as raised:
        pilots.load(tmp_path)
    (problem,) = raised.value.details["problems"]
    assert (problem["key"], problem["line"]) == ("train.resources.workers", 8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"source": "a.csv", "target": "y", "features": {"t": "text"}}}, "a text or an image"),
        (
            {"cluster": {"steps": {"evaluate": {"resources": {"workers": 2}}}}},
            "step `evaluate` has one worker",
        ),
    ],
)
def test_what_one_process_does_takes_no_workers(changes, words):
    train = {"estimator": "xgboost", "resources": {"workers": 2}}
    with pytest.raises(ValueError, match=words):
        PilotSpec.model_validate(spec(train, **changes))


def test_scoring_takes_workers():
    steps = {"score": {"resources": {"workers": 2}}}
    found = PilotSpec.model_validate(spec({}, cluster={"steps": steps}))
    assert found.cluster.steps["score"].resources is not None


@pytest.mark.parametrize("workers", [0, 257, "many"])
def test_a_number_of_workers_is_bounded(workers):
    with pytest.raises(ValueError, match=r"resources\.workers"):
        PilotSpec.model_validate(spec({"estimator": "xgboost", "resources": {"workers": workers}}))


@pytest.mark.parametrize("address", ["", "auto", "kuberay", "ray.example:6379", "ray://10.0.0.1:10001"])
def test_an_address_of_ray_is_taken(address):
    assert settings.load(ray_address=address).ray_address == address


@pytest.mark.parametrize(
    "address", ["ray", "http://ray:8265", "ray://head", "head:port", "ray://u@h:1", "h:1/x"]
)
def test_what_is_no_address_of_ray_is_refused(address):
    with pytest.raises(errors.SettingsError, match="PILOTAGE_RAY_ADDRESS: is none of HOST:PORT"):
        settings.load(ray_address=address)
