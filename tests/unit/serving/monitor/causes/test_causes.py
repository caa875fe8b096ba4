"""What changed: contributions that add up, claims that hold, and silence where nothing happened."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from pilotage.core import models, samples
from pilotage.core.artifacts import ChangeKind, Feature, Model, ModelFormat
from pilotage.core.features import Columns
from pilotage.core.metrics import Task
from pilotage.core.settings import PicklePolicy, Settings
from pilotage.core.specs import FeatureKind
from pilotage.serving.monitor.causes import attributions, causes, segments
from pilotage.serving.monitor.rows import multivariate

Numbers = npt.NDArray[np.float64]

FEATURES = (
    Feature(name="miles", kind=FeatureKind.NUMBER),
    Feature(name="grade", kind=FeatureKind.NUMBER),
    Feature(name="carrier", kind=FeatureKind.CATEGORY),
    Feature(name="airport", kind=FeatureKind.CATEGORY),
    Feature(name="at", kind=FeatureKind.TIME),
)


def columns(rows: int, seed: int) -> Columns:
    generator = np.random.default_rng(seed)
    hours = generator.choice(24, rows, p=np.r_[np.zeros(5), np.arange(1, 20)] / 190)
    return {
        "miles": np.round(generator.gamma(4, 200, rows)),
        "grade": generator.normal(3, 1, rows),
        "carrier": generator.choice(np.array(["AA", "DL", "UA"], dtype=object), rows, p=[0.5, 0.3, 0.2]),
        "airport": generator.choice(np.array(["JFK", "LGA", "007"], dtype=object), rows),
        "at": np.datetime64("2026-01-01T00:30", "us") + hours * np.timedelta64(1, "h"),
    }


def score(held: Columns) -> Numbers:
    found: Numbers = held["miles"] / 1000 + held["grade"] * (held["carrier"] == "AA")
    return found


def table(held: Columns, seed: int = 0, truth: Numbers | None = None) -> pa.Table:
    generator = np.random.default_rng(seed)
    said = np.nan_to_num(score(held))
    return samples.build(
        FEATURES,
        held,
        predictions=[repr(v) for v in said.tolist()],
        scores=said,
        probabilities=None,
        priorities=generator.random(len(said)),
        truth=None if truth is None else [repr(v) for v in truth.tolist()],
    )


def model() -> Model:
    return Model(
        pilot="pilot",
        digest="0" * 64,
        format=ModelFormat.SKOPS,
        estimator="any",
        params={},
        seed=0,
        features=FEATURES,
        target="y",
        task=Task.REGRESSION,
        snapshot="0" * 64,
        train_rows=1,
        test_rows=1,
        validation={},
        requirements=(),
        python="3",
        code="0" * 64,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_contributions_add_up_to_the_shift_and_name_what_moved() -> None:
    before, after = columns(500, 1), columns(500, 2)
    after["grade"] = after["grade"] + 2
    calls: list[int] = []

    def predict(held: Columns) -> Numbers:
        calls.append(len(held["miles"]))
        return score(held)

    found = causes.attribute(predict, table(before), table(after), FEATURES, seed=0)
    assert sum(part.value for part in found) == pytest.approx(score(after).mean() - score(before).mean())
    assert found[0].feature == "grade"
    assert found[0].value == pytest.approx(2 * 0.5, abs=4 * found[0].error)
    assert [part.value for part in found if part.feature == "airport"] == [0.0]
    assert len(calls) <= attributions.MOST_CALLS
    assert max(calls) <= attributions.MOST_ROWS
    assert causes.attribute(predict, table(before), table(after), FEATURES, seed=0) == found


def test_the_errors_of_contributions_are_those_of_other_rows() -> None:
    def grade_of(seed: int) -> tuple[float, float]:
        before, after = columns(200, 2 * seed), columns(200, 2 * seed + 1)
        after["grade"] = after["grade"] + 1
        found = causes.attribute(score, table(before), table(after), FEATURES, seed=seed)
        return next((part.value, part.error) for part in found if part.feature == "grade")

    drawn = np.array([grade_of(seed) for seed in range(60)])
    assert drawn[:, 0].std() == pytest.approx(drawn[:, 1].mean(), rel=0.35)


def test_of_too_many_features_the_least_moved_ones_are_one_player() -> None:
    many = tuple(Feature(name=f"x{k}", kind=FeatureKind.NUMBER) for k in range(100))
    generator = np.random.default_rng(3)
    sides = [{one.name: generator.normal(size=60) for one in many} for _ in range(2)]
    sides[1]["x99"] = sides[1]["x99"] + 5
    tables = [
        samples.build(
            many, side, predictions=["1"] * 60, scores=np.zeros(60), probabilities=None,
            priorities=generator.random(60),
        )
        for side in sides
    ]  # fmt: skip
    calls = []

    def predict(held: Columns) -> Numbers:
        calls.append(1)
        total: Numbers = np.sum([held[one.name] for one in many], axis=0)
        return total

    found = causes.attribute(predict, tables[0], tables[1], many, seed=0)
    assert len(calls) <= attributions.MOST_CALLS
    assert found[0].feature == "x99"
    assert attributions.OTHERS in {part.feature for part in found}
    shift = predict(sides[1]).mean() - predict(sides[0]).mean()
    assert sum(part.value for part in found) == pytest.approx(shift)


def test_too_few_rows_are_not_attributed() -> None:
    assert causes.attribute(score, table(columns(500, 1)), table(columns(1, 2)), FEATURES, seed=0) == ()


def test_a_loss_that_no_feature_explains_is_called_so() -> None:
    before, after = columns(800, 4), columns(800, 5)
    noise = np.random.default_rng(6).normal(size=800)
    one = table(before, truth=score(before) + 0.3 * noise)
    found = causes.attribute_loss(model(), one, table(after, truth=score(after) + noise), seed=0)
    assert found[0].feature == causes.CONCEPT
    rise = np.abs(noise).mean() - np.abs(0.3 * noise).mean()
    assert sum(part.value for part in found) == pytest.approx(rise, abs=0.1)
    assert causes.attribute_loss(model(), one, table(after), seed=0) == ()


def changed(change: Callable[[Columns], Any], rows: int = 1000) -> list[tuple[str, ChangeKind, str]]:
    after = columns(rows, 8)
    change(after)
    found = causes.changes(table(columns(3000, 7)), table(after), FEATURES)
    return [(part.feature, part.kind, part.message) for part in found]


def put(name: str, made: Callable[[npt.NDArray[Any]], Any]) -> Callable[[Columns], None]:
    def change(held: Columns) -> None:
        held[name] = made(held[name])

    return change


def swap(held: Columns) -> None:
    held["carrier"], held["airport"] = held["airport"], held["carrier"]


def texts(made: Callable[[str], str | None]) -> Callable[[npt.NDArray[Any]], Any]:
    return lambda values: np.array([made(value) for value in values.tolist()], dtype=object)


SOME = np.random.default_rng(9).random(1000) < 0.3


@pytest.mark.parametrize(
    ("feature", "made", "kind", "words"),
    [
        ("miles", lambda v: v * 1.609344, ChangeKind.UNIT, "miles became kilometres"),
        ("miles", lambda v: np.round(v * 1.609344), ChangeKind.UNIT, "(times 1.60934)"),
        ("miles", lambda v: v / 1000, ChangeKind.UNIT, "thousand"),
        ("miles", lambda v: v * 100, ChangeKind.UNIT, "percent or hundredths"),
        ("grade", lambda v: v * 1.8 + 32, ChangeKind.UNIT, "Celsius became Fahrenheit"),
        ("grade", lambda v: -v, ChangeKind.SIGN, "sign"),
        ("grade", lambda v: np.round(v), ChangeKind.PRECISION, "whole numbers"),
        ("miles", lambda v: v + np.linspace(0.1, 0.4, len(v)), ChangeKind.PRECISION, "not whole numbers"),
        ("grade", lambda v: np.full_like(v, 2.5), ChangeKind.CONSTANT, "Every value is 2.5"),
        ("carrier", texts(lambda _: "AA"), ChangeKind.CONSTANT, "`AA`"),
        ("grade", lambda v: np.where(SOME, np.nan, v), ChangeKind.MISSING, "missing; it was 0.0%"),
        ("grade", lambda v: np.full_like(v, np.nan), ChangeKind.MISSING, "All values are missing"),
        ("carrier", texts(lambda _: None), ChangeKind.MISSING, "All values are missing"),
        ("miles", lambda v: np.where(SOME, -1.0, v), ChangeKind.DEFAULT, "are -1, instead of 0.0%"),
        ("carrier", texts(lambda v: f"{v} "), ChangeKind.SPELLING, "other blanks: `AA ` for `AA`"),
        ("carrier", texts(str.lower), ChangeKind.SPELLING, "capitals"),
        ("airport", texts(lambda v: v.lstrip("0")), ChangeKind.SPELLING, "`7` for `007`"),
        ("carrier", texts(lambda v: "ZZ" if v == "UA" else v), ChangeKind.NEW_CATEGORY, "`ZZ`"),
        ("airport", texts(lambda v: "JFK" if v == "LGA" else v), ChangeKind.LOST_CATEGORY, "`LGA`"),
        ("at", lambda v: v - np.timedelta64(5, "h"), ChangeKind.HOURS, "by -5"),
    ],
)  # fmt: skip
def test_a_change_upstream_is_named(
    feature: str, made: Callable[[npt.NDArray[Any]], Any], kind: ChangeKind, words: str
) -> None:
    found = changed(put(feature, made))
    assert {(name, claimed) for name, claimed, _ in found} >= {(feature, kind)}
    assert {name for name, _, _ in found} == {feature}
    assert words in next(message for _, claimed, message in found if claimed is kind)


def test_swapped_columns_are_told_once_each() -> None:
    assert sorted((name, kind) for name, kind, _ in changed(swap)) == [
        ("airport", ChangeKind.SWAPPED),
        ("carrier", ChangeKind.SWAPPED),
    ]


@pytest.mark.parametrize(
    "made",
    [lambda v: v + 400, lambda v: v * 1.3, lambda v: v[::-1], lambda v: np.repeat(v[:10], len(v) // 10)],
    ids=["plus", "times", "turned", "repeated"],
)
def test_a_column_that_merely_moved_is_not_called_another_unit(
    made: Callable[[npt.NDArray[Any]], Any],
) -> None:
    assert [kind for _, kind, _ in changed(put("miles", made))] == []


def test_last_bits_of_sums_are_no_default() -> None:
    assert changed(put("grade", lambda v: np.where(SOME, 1e-17, v)), 1000) != []
    rain = np.where(np.random.default_rng(1).random(3000) < 0.6, 0.0, 1.0)
    before, after = columns(3000, 7), columns(1000, 8)
    before["grade"], after["grade"] = rain, np.where(rain[:1000] > 0, 1.0, 1e-17)
    assert causes.changes(table(before), table(after), FEATURES) == ()


def test_nothing_is_claimed_where_nothing_changed() -> None:
    pool = columns(2000, 10)
    claims = 0
    for seed in range(200):
        order = np.random.default_rng(seed).permutation(2000)
        one, two = (
            {name: held[part] for name, held in pool.items()} for part in (order[:1500], order[1500:])
        )
        claims += bool(causes.changes(table(one), table(two), FEATURES))
    assert claims <= 2


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_a_handful_of_rows_proves_no_change(rows: int) -> None:
    after = columns(rows, 8)
    after["miles"] = after["miles"] * 1.609344
    assert causes.changes(table(columns(3000, 7)), table(after), FEATURES) == ()


def wrong(held: Columns, where: npt.NDArray[np.bool_], seed: int) -> Numbers:
    """Truth with an error that is larger `where`."""
    noise = np.random.default_rng(seed).normal(size=len(where))
    found: Numbers = score(held) + np.where(where, 2.0, 0.3) * noise
    return found


def test_the_segment_that_became_worse_is_found() -> None:
    before, after = columns(3000, 11), columns(1500, 12)
    nowhere = np.zeros(3000, dtype=bool)
    bad = (after["carrier"] == "DL") & (after["airport"] == "JFK")
    found, words = causes.segments(
        model(), table(before, truth=wrong(before, nowhere, 1)), table(after, truth=wrong(after, bad, 2))
    )
    assert {"carrier is DL", "airport is JFK"} == set(found[0].description.split(" and "))
    assert found[0].rows == bad.sum()
    assert found[0].low > 0
    assert found[0].low <= found[0].value - found[0].reference <= found[0].high
    assert "absolute error" in words


def test_a_model_that_became_worse_everywhere_has_no_segment() -> None:
    before, after = columns(2000, 13), columns(1000, 14)
    found, _ = causes.segments(
        model(),
        table(before, truth=wrong(before, np.zeros(2000, dtype=bool), 1)),
        table(after, truth=wrong(after, np.ones(1000, dtype=bool), 2)),
    )
    assert found == ()


def test_segments_are_rarely_found_where_there_are_none() -> None:
    claims = 0
    for seed in range(40):
        before, after = columns(1500, 2 * seed), columns(800, 2 * seed + 1)
        nowhere = [np.zeros(rows, dtype=bool) for rows in (1500, 800)]
        one = table(before, truth=wrong(before, nowhere[0], 2 * seed))
        claims += bool(
            causes.segments(model(), one, table(after, truth=wrong(after, nowhere[1], 2 * seed + 1)))[0]
        )
        claims += bool(segments.moved(one, table(after), FEATURES))
    assert claims <= 9  # 80 questions at 5 %


def test_without_truth_the_segment_that_grew_is_told() -> None:
    before, after = columns(2000, 15), columns(1000, 16)
    many = np.random.default_rng(1).random(1000) < 0.6
    after["carrier"] = np.where(many, "UA", after["carrier"]).astype(object)
    found, words = causes.segments(model(), table(before), table(after))
    assert found[0].description == "carrier is UA"
    assert found[0].measure == "share of rows"
    assert found[0].value == pytest.approx(found[0].share)
    assert found[0].value > found[0].reference + 0.3
    assert "losses are not compared" in words


def test_a_model_is_opened_as_the_settings_allow(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "model"
    known = model().model_copy(update={"format": ModelFormat.PICKLE, "features": FEATURES[:2]})
    known.write(folder / "pilotage")
    estimator = LinearRegression().fit(pd.DataFrame(np.eye(2), columns=["miles", "grade"]), [1.0, 2.0])
    (folder / models.FILES[ModelFormat.PICKLE]).write_bytes(pickle.dumps(estimator))
    settings = Settings(home=home, allow_pickle=PicklePolicy.OWN)
    refused = causes.predictor(folder, settings)
    assert refused.predict is None
    assert "did not sign it" in refused.reason
    models.sign(folder, settings)
    opened = causes.predictor(folder, settings)
    assert opened.predict is not None
    assert opened.predict({"miles": np.array([1.0]), "grade": np.array([0.0])}).shape == (1,)
    assert "cannot be loaded" in causes.predictor(tmp_path / "nothing", settings).reason


def pair_of(rows: int, seed: int, correlation: float = 0.0) -> pa.Table:
    generator = np.random.default_rng(seed)
    held = columns(rows, seed)
    held["miles"] = generator.normal(size=rows)
    held["grade"] = correlation * held["miles"] + np.sqrt(1 - correlation**2) * generator.normal(size=rows)
    return table(held, seed)


def test_a_change_of_correlation_that_no_column_shows_is_seen() -> None:
    found = multivariate.test(pair_of(1000, 1), pair_of(1000, 2, 0.7), FEATURES, seed=0)
    assert found.p_value is not None
    assert found.auc is not None
    assert found.p_value < 1e-4
    assert found.auc > 0.55
    assert set(found.features[:2]) == {"miles", "grade"}


def test_samples_of_one_distribution_are_told_apart_no_more_often_than_promised() -> None:
    found = [
        multivariate.test(pair_of(150, 2 * seed), pair_of(150, 2 * seed + 1), FEATURES, seed=seed).p_value
        for seed in range(40)
    ]
    p = np.array(found, dtype=float)
    assert (p < 0.05).sum() <= 5  # of 40 at 5 %
    assert (p < 0.2).sum() <= 15


def test_the_multivariate_test_ignores_order_and_takes_empty_columns() -> None:
    one, two = columns(200, 1), columns(200, 2)
    for side in (one, two):
        side["miles"] = np.full(200, np.nan)
        side["carrier"] = np.array([None] * 200, dtype=object)
    found = multivariate.test(table(one), table(two), FEATURES, seed=0)
    turned = table(two).take(pa.array(np.arange(200)[::-1]))
    assert multivariate.test(table(one), turned, FEATURES, seed=0) == found
    assert found.p_value is not None
    few = multivariate.test(table(one), table(columns(1, 3)), FEATURES, seed=0)
    assert (few.auc, few.p_value) == (None, None)
    assert "are needed" in few.reason


def test_changes_and_segments_do_not_depend_on_the_order_of_rows() -> None:
    before, after = columns(1500, 20), columns(800, 21)
    swap(after)
    after["miles"] = after["miles"] * 1.609344
    one, two = table(before, 1), table(after, 2)
    three, four = (side.take(pa.array(np.arange(side.num_rows)[::-1])) for side in (one, two))
    assert causes.changes(one, two, FEATURES) == causes.changes(three, four, FEATURES)
    assert causes.segments(model(), one, two) == causes.segments(model(), three, four)
