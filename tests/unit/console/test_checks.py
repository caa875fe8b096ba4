"""What `check` refuses or warns of before a run: parameters, encoders, and texts that are numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pilotage.console import checks
from pilotage.core import errors, pilots, settings

Check = Callable[..., checks.Checked]
OWN = """
from sklearn.linear_model import LogisticRegression

def build(strength=1.0, random_state=0):
    if strength <= 0:
        raise ValueError("strength must be above 0")
    return LogisticRegression(C=strength)

def number():
    return 5
"""


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Checks a pilot of one number and one text with what `train` says."""
    rows = range(60)
    table = {"amount": [value * 1.5 for value in rows], "note": [f"parcel {value} came" for value in rows]}
    pd.DataFrame({**table, "late": [value % 2 for value in rows]}).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "own.py").write_text(OWN)

    def made(
        train: dict[str, object], features: dict[str, str] | None = None, **told: object
    ) -> checks.Checked:
        data = {"source": "a.csv", "target": "late", "features": features or {"amount": "number"}}
        spec = {"version": 1, "pilot": "p", "goal": {"metric": "roc_auc"}, "data": data, "train": train}
        (tmp_path / "pilot.yaml").write_text(yaml.safe_dump(spec))
        return checks.check(pilots.load(tmp_path), settings.load(**told))

    return made


def search(**space: object) -> dict[str, object]:
    return {"search": {"trials": 2, "space": space}}


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"estimator": "own:build", "params": {"strenght": 2}}, "unexpected keyword argument 'strenght'"),
        ({"estimator": "own:build", "params": {"strength": -1}}, "strength must be above 0"),
        ({"estimator": "own:number"}, "returned int, which has no method `fit`"),
        ({"estimator": "own:build", **search(power={"low": 1, "high": 2})}, "'power'"),
        ({**search(learing_rate={"low": 0.1, "high": 0.3})}, "`learing_rate` is not a parameter"),
        ({**search(max_leaf_nodes={"low": 0, "high": 30})}, "'max_leaf_nodes'"),
        ({"params": {"max_iter": "many"}}, "'max_iter' parameter"),
        ({"estimator": "mlp", "params": {"dropout": 2}}, "`dropout`"),
    ],
    ids=["own-name", "own-value", "own-result", "own-space", "space-name", "space-end", "value", "mlp"],
)
def test_parameters_that_cannot_be_are_refused_before_a_run(
    check: Check, train: dict[str, object], told: str
) -> None:
    with pytest.raises(errors.EstimatorError) as caught:
        check(train)
    assert told in caught.value.message


@pytest.mark.parametrize(
    "train",
    [
        {"estimator": "own:build", "params": {"strength": 2}},
        {"estimator": "own:build", **search(strength={"low": -1, "high": 2})},
        {"params": {"max_iter": 20}, **search(max_leaf_nodes={"choices": [None, 8]})},
    ],
    ids=["own", "own-search", "search"],
)
def test_parameters_that_can_be_are_not_complained_of(check: Check, train: dict[str, object]) -> None:
    assert check(train).warnings == ()


def test_texts_that_are_numbers_are_warned_of(check: Check) -> None:
    warnings = check({}, {"amount": "text", "note": "text"}).warnings
    (told,) = [line for line in warnings if line.startswith("data.features.")]
    assert told.startswith("data.features.amount: all 60 values are numbers")
    assert "`number`" in told


def test_an_encoder_that_is_not_there_is_refused_and_one_of_a_hub_is_not_fetched(check: Check) -> None:
    features = {"amount": "number", "note": "text"}
    with pytest.raises(errors.EstimatorError, match="There is no encoder `nowhere`"):
        check({"encoders": {"note": {"model": "nowhere"}}}, features)
    hub = {"encoders": {"note": {"model": "owner/model"}}}
    with pytest.raises(errors.EstimatorError, match="a hub is not asked"):
        check(hub, features)
    assert check(hub, features, allow_hub=True).warnings == ()


def test_a_backbone_that_is_not_there_is_refused(check: Check, tmp_path: Path) -> None:
    images = {"amount": "number", "note": "image"}
    with pytest.raises(errors.EstimatorError, match=r"gone.onnx` cannot be read"):
        check({"encoders": {"note": {"backbone": "gone.onnx"}}}, images)
