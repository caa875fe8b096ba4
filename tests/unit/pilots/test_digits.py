"""The digits' loader and the estimator that comes with the pilot."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pandas as pd
import pytest
from sklearn.base import clone
from skops import io


@pytest.fixture(scope="module")
def scans(example: Callable[[str, str], ModuleType]) -> ModuleType:
    return example("digits", "scans")


@pytest.fixture(scope="module")
def estimator(example: Callable[[str, str], ModuleType]) -> ModuleType:
    return example("digits", "estimator")


@pytest.fixture(scope="module")
def table(scans: ModuleType) -> pd.DataFrame:
    loaded: pd.DataFrame = scans.load()
    return loaded


def test_every_scan_is_there_with_its_pixels_and_its_digit(table: pd.DataFrame) -> None:
    pixels = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    assert table.columns.tolist() == [*pixels, "digit"]
    assert len(table) == 1_797
    assert sorted(table["digit"].unique()) == list(range(10))
    assert table[pixels].min().min() == 0
    assert table[pixels].max().max() == 16
    assert not table.duplicated().any()


def test_the_estimator_recognises_scans_it_has_not_seen(estimator: ModuleType, table: pd.DataFrame) -> None:
    pixels, digits = table.drop(columns="digit"), table["digit"]
    model = estimator.build().fit(pixels[:1_400], digits[:1_400])
    assert model.score(pixels[1_400:], digits[1_400:]) > 0.93
    probabilities = model.predict_proba(pixels[1_400:])
    assert probabilities.shape == (397, 10)
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_parameters_reach_their_parts(estimator: ModuleType) -> None:
    parameters = estimator.build(gamma=0.1, components=50, C=2.0, random_state=7).get_params()
    assert parameters["nystroem__gamma"] == 0.1
    assert parameters["nystroem__n_components"] == 50
    assert parameters["nystroem__random_state"] == 7
    assert parameters["logisticregression__C"] == 2.0


def test_the_fitted_estimator_is_stored_without_types_that_need_trust(
    estimator: ModuleType, table: pd.DataFrame
) -> None:
    model = clone(estimator.build(components=50)).fit(table.drop(columns="digit"), table["digit"])
    assert io.get_untrusted_types(data=io.dumps(model)) == []
