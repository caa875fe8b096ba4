"""What a run may be asked to do differently, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.core import errors
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.queue.parameters import Parameters


def test_values_below_train_take_the_place_of_pilot_yamls(spec: PilotSpec):
    overrides = {"train.params.max_iter": 5, "train.seed": 7, "train.estimator": "random_forest"}
    found = Parameters(overrides=overrides).apply(spec)
    assert (found.train.params, found.train.seed, found.train.estimator) == (
        {"max_iter": 5},
        7,
        "random_forest",
    )
    assert found.gates == spec.gates
    assert spec.train.params == {}


def test_without_overrides_the_pilot_stays_as_it_is(spec: PilotSpec):
    assert Parameters(cache=False).apply(spec) is spec


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("gates", [], "not of a key below `train.`"),
        ("approval", "auto", "not of a key below"),
        ("train", {}, "not of a key below"),
        ("train.", 1, "not of a key below"),
        ("train..seed", 1, "not of a key below"),
        ("training.seed", 1, "not of a key below"),
        ("", 1, "not of a key below"),
        ("train.seed", -1, "`train.seed`: Input should be greater"),
        ("train.sede", 1, "`train.sede`"),
        ("train.estimator", "random_forrest", "random_forest"),
        ("train.estimator", "os:system", "only pilot.yaml says which code"),
        ("train.seed.deep", 1, "`train.seed` is 3, which has no keys"),
        ("train.search", {"trials": 0, "space": {}}, "`train.search"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(spec: PilotSpec, key: str, value: Any, said: str):
    seeded = PilotSpec.model_validate(
        {**spec.model_dump(mode="json", exclude_unset=True), "train": {"seed": 3}}
    )
    with pytest.raises(errors.SpecError) as caught:
        Parameters(overrides={key: value}).apply(seeded)
    assert said in str(caught.value)
    assert caught.value.remedy


def test_code_that_pilot_yaml_names_may_be_named_again(spec: PilotSpec):
    content = spec.model_dump(mode="json", exclude_unset=True)
    own = PilotSpec.model_validate({**content, "train": {"estimator": "mine:build"}})
    assert Parameters(overrides={"train.estimator": "mine:build"}).apply(own) == own
