"""Windows against a reference: false alarms as rare as promised, real shifts found, effects told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serving import small_profiles

from pilotage.core import profiles
from pilotage.core.artifacts import Feature
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.specs import Drift, FeatureKind
from pilotage.core.storage import Storage
from pilotage.core.windows import Window
from pilotage.serving.monitor import alarms
from pilotage.serving.monitor.drift import calibrations, comparisons, methods
from pilotage.serving.monitor.drift.calibrations import Calibration, Mode, Setup
from pilotage.serving.monitor.drift.columns import Column, Role, column_of, columns_of
from pilotage.serving.monitor.drift.comparisons import Comparison

EPOCH = datetime(2026, 3, 2, tzinfo=UTC)
Rows = dict[str, np.ndarray]
KINDS = {
    **{f"n{k}": FeatureKind.NUMBER for k in range(8)},
    "flag": FeatureKind.BOOLEAN,
    "city": FeatureKind.CATEGORY,
    "plane": FeatureKind.CATEGORY,
}
FEATURES = {name: Feature(name=name, kind=kind) for name, kind in KINDS.items()}


def draw(rows: int, generator: np.random.Generator) -> Rows:
    """Numbers of several shapes, some missing; a flag; few and many categories; a score."""
    found: Rows = {f"n{k}": generator.gamma(k + 1, 10.0, rows) for k in range(6)}
    found["n6"] = generator.integers(0, 5, rows).astype(float)
    found["n7"] = np.where(generator.random(rows) < 0.2, np.nan, generator.normal(size=rows))
    found["flag"] = (generator.random(rows) < 0.3).astype(float)
    found["city"] = generator.choice(np.array(["JFK", "LGA", "EWR"], dtype=object), rows, p=[0.5, 0.3, 0.2])
    found["plane"] = np.array([f"N{tail}" for tail in generator.zipf(1.7, rows) % 3000], dtype=object)
    found["score"] = generator.beta(2, 5, rows)
    return found


def profile_of(rows: Rows, blocks: np.ndarray | None = None) -> ReferenceProfile:
    return ReferenceProfile(
        pilot="demo",
        snapshot="0" * 64,
        rows=len(rows["score"]),
        features={name: profiles.profile_column(FEATURES[name], rows[name], blocks) for name in FEATURES},
        score=profiles.profile_numbers(rows["score"]),
    )


def window_of(profile: ReferenceProfile, rows: Rows) -> Window:
    counts = small_profiles.count_columns(profile, FEATURES, rows)
    return Window(
        pilot="demo",
        version=1,
        start=EPOCH,
        end=EPOCH + timedelta(hours=1),
        rows=len(rows["score"]),
        features={name: tuple(part.tolist()) for name, part in counts.items()},
        score=tuple(profile.score.count(rows["score"]).tolist()),
        updated_at=EPOCH,
    )


def calibrated(columns: list[Column], rows: int, rate: float = 0.01) -> Calibration:
    return calibrations.calibrate(columns, Setup(calibrations.size_class(rows), rate, 0, 7))


@pytest.fixture(scope="module")
def profile() -> ReferenceProfile:
    return profile_of(draw(20_000, np.random.default_rng(1)))


def compare(profile: ReferenceProfile, rows: Rows, drift: Drift | None = None) -> Comparison:
    drift = drift or Drift()
    columns = columns_of(profile)
    calibration = calibrated(columns, len(rows["score"]), drift.false_alarm_rate)
    return comparisons.compare(columns, window_of(profile, rows), calibration, drift)


@pytest.mark.parametrize(("rows", "reference"), [(60, 20_000), (500, 20_000), (3000, 4000)])
def test_false_alarms_are_as_rare_as_asked_without_help_from_the_effect_floor(
    rows: int, reference: int
) -> None:
    rate, repeats, alarms = 0.05, 200, 0
    generator = np.random.default_rng(rows)
    for repeat in range(repeats):
        if repeat % 50 == 0:
            profile = profile_of(draw(reference, generator))
            columns = columns_of(profile)
            calibration = calibrated(columns, rows, rate)
        window = window_of(profile, draw(rows, generator))
        found = comparisons.compare(columns, window, calibration, Drift(false_alarm_rate=rate, min_effect=0))
        alarms += bool(found.drifted)
    tolerated = rate + 3 * np.sqrt(rate * (1 - rate) / repeats)
    assert alarms / repeats <= tolerated


def unit_change(rows: Rows) -> None:
    rows["n3"] = rows["n3"] * 1.609


def nulls_jump(rows: Rows) -> None:
    rows["n2"][::8] = np.nan


def nulls_vanish(rows: Rows) -> None:
    rows["n7"] = np.nan_to_num(rows["n7"])


def new_category(rows: Rows) -> None:
    rows["city"][::25] = "SFO"


def category_shift(rows: Rows) -> None:
    rows["city"][: len(rows["city"]) // 4] = "EWR"


def all_missing(rows: Rows) -> None:
    rows["n1"][:] = np.nan


def score_shift(rows: Rows) -> None:
    rows["score"] = np.sqrt(rows["score"])


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        (unit_change, "n3", "other values are frequent"),
        (nulls_jump, "n2", "12.5% missing instead of 0.0%"),
        (nulls_vanish, "n7", "0.0% missing instead of"),
        (new_category, "city", "4.0% of rows have values that training never saw"),
        (category_shift, "city", "other values are frequent"),
        (all_missing, "n1", "100.0% missing instead of 0.0%"),
        (score_shift, "score", "other values are frequent"),
    ],
)
def test_real_changes_are_found_and_only_where_they_are(
    profile: ReferenceProfile, change: Callable[[Rows], None], column: str, words: str
) -> None:
    rows = draw(1000, np.random.default_rng(5))
    change(rows)
    found = compare(profile, rows).drifted
    assert [part.feature for part in found] == [column]
    assert words in found[0].reason


def test_a_tiny_window_is_shown_but_not_judged(profile: ReferenceProfile) -> None:
    rows = draw(20, np.random.default_rng(6))
    unit_change(rows)
    new_category(rows)
    found = compare(profile, rows)
    assert len(found.features) == len(FEATURES)
    assert not found.drifted


def test_a_huge_window_with_a_negligible_effect_is_no_drift(profile: ReferenceProfile) -> None:
    rows = draw(200_000, np.random.default_rng(7))
    rows["n3"] = rows["n3"] * 1.03
    found = compare(profile, rows)
    (part,) = (part for part in found.features if part.feature == "n3")
    assert part.p_value < 1e-5
    assert not found.drifted
    assert "n3" in [part.feature for part in compare(profile, rows, Drift(min_effect=0)).drifted]


def test_the_most_drifted_comes_first(profile: ReferenceProfile) -> None:
    rows = draw(1000, np.random.default_rng(8))
    category_shift(rows)
    rows["n0"] = rows["n0"] * 50
    assert [part.feature for part in compare(profile, rows).drifted] == ["n0", "city"]


def test_a_feature_that_the_window_lacks_is_left_out(profile: ReferenceProfile) -> None:
    window = window_of(profile, draw(500, np.random.default_rng(9)))
    held = {name: part for name, part in window.features.items() if name != "city"}
    columns = columns_of(profile)
    lacking = window.model_copy(update={"features": {**held, "n0": (1, 2)}, "score": ()})
    found = comparisons.compare(columns, lacking, calibrated(columns, 500), Drift())
    assert {part.feature for part in found.features} == FEATURES.keys() - {"city", "n0"}
    assert found.score is None


def wandering(blocks: int, a_block: int, generator: np.random.Generator) -> tuple[Rows, np.ndarray]:
    """Rows whose level moves from block to block, as weather does."""
    level = np.zeros(blocks)
    for block in range(1, blocks):
        level[block] = 0.6 * level[block - 1] + generator.normal()
    number = np.repeat(np.arange(blocks), a_block)
    rows = draw(blocks * a_block, generator)
    for name in ("n0", "n1", "n2"):
        rows[name] = generator.normal(size=len(number)) + level[number]
    return rows, number


def test_what_moves_with_time_raises_few_alarms_once_blocks_say_so() -> None:
    by_blocks, independent, windows, a_block, days = 0, 0, 0, 200, 3
    for seed in range(6):
        generator = np.random.default_rng(seed)
        rows, number = wandering(150, a_block, generator)
        past = number < 90
        profile = profile_of({name: part[past] for name, part in rows.items()}, number[past])
        columns = columns_of(profile)
        setup = Setup(calibrations.size_class(days * a_block), 0.01, days, 7)
        calibration = calibrations.calibrate(columns, setup)
        naive = calibrated(columns, days * a_block)
        assert (calibration.mode, naive.mode) == (Mode.BLOCKS, Mode.REDRAWN)
        for start in range(100, 148, days):
            chosen = (number >= start) & (number < start + days)
            window = window_of(profile, {name: part[chosen] for name, part in rows.items()})
            windows += 1
            by_blocks += bool(comparisons.compare(columns, window, calibration, Drift()).drifted)
            independent += bool(comparisons.compare(columns, window, naive, Drift()).drifted)
    assert by_blocks / windows <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / windows)
    assert independent / windows > 0.9


def test_a_real_change_is_found_by_blocks_too() -> None:
    rows, number = wandering(90, 200, np.random.default_rng(3))
    profile = profile_of(rows, number)
    columns = columns_of(profile)
    calibration = calibrations.calibrate(columns, Setup(calibrations.size_class(600), 0.01, 3, 7))
    changed = draw(600, np.random.default_rng(4))
    changed.update({name: rows[name][:600] for name in ("n0", "n1", "n2")})
    unit_change(changed)
    new_category(changed)
    found = comparisons.compare(columns, window_of(profile, changed), calibration, Drift())
    assert {"n3", "city"} == {part.feature for part in found.drifted}


def test_the_report_says_how_many_blocks_there_were_and_what_they_cannot_promise() -> None:
    rows, number = wandering(90, 60, np.random.default_rng(3))
    columns = columns_of(profile_of(rows, number))
    few = calibrations.calibrate(columns, Setup(100, 0.01, 7, 7))
    many = calibrations.calibrate(columns, Setup(100, 0.01, 1, 7))
    assert "cannot be promised" in methods.describe(few, Drift(), 12, 100)
    assert "90 time blocks" in methods.describe(few, Drift(), 12, 100)
    assert "cannot be promised" not in methods.describe(many, Drift(), 12, 100)
    assert "shown but not judged" in methods.describe(calibrated(columns, 20), Drift(), 12, 20)


def test_a_calibration_is_kept_and_a_broken_one_made_again(profile: ReferenceProfile, tmp_path: Path) -> None:
    storage, columns, setup = Storage(str(tmp_path)), columns_of(profile), Setup(500, 0.01, 0, 7)
    made = calibrations.cached(storage, "c.json", columns, setup)
    assert calibrations.cached(storage, "c.json", [], setup) == made
    storage.write("c.json", b"{")
    assert calibrations.cached(storage, "c.json", columns, setup) == made


def test_pictures_cover_all_rows_and_name_their_cells(profile: ReferenceProfile) -> None:
    found = compare(profile, draw(500, np.random.default_rng(11)))
    for part in found.features:
        assert sum(part.reference) == pytest.approx(1)
        assert sum(part.window) == pytest.approx(1)
        assert len(part.labels) == len(part.reference) == len(part.window) <= 14
    labels = {part.feature: part.labels for part in found.features}
    assert labels["flag"] == ("0", "1")
    assert labels["n6"] == ("0", "1", "2", "3", "4")
    assert set(labels["city"]) >= {"JFK", "LGA", "EWR"}
    assert labels["n7"][-1] == "missing"


def test_a_window_below_the_least_rows_is_measured_and_not_judged(profile: ReferenceProfile) -> None:
    changed = draw(300, np.random.default_rng(5))
    unit_change(changed)
    columns, window = columns_of(profile), window_of(profile, changed)
    calibration = calibrated(columns, 300)
    found = comparisons.compare(columns, window, calibration, Drift(), least_rows=301)
    assert not found.drifted
    assert max(part.psi for part in found.features) > 0.25
    assert comparisons.compare(columns, window, calibration, Drift(), least_rows=300).drifted


def test_an_alarm_waits_until_the_same_column_has_drifted_as_often_as_asked(
    profile: ReferenceProfile,
) -> None:
    rows = draw(1000, np.random.default_rng(5))
    unit_change(rows)
    new_category(rows)
    found, window = compare(profile, rows), window_of(profile, rows)
    assert alarms.drift_alarm(window, found, 0.01) is None  # nothing is known of the windows before
    both = {"feature n3", "feature city"}
    assert {part.feature for part in found.persisting([both, both]).drifted if part.persistent} == {
        "n3",
        "city",
    }
    once = found.persisting([both, {"feature city", "feature n0", "score"}])
    alarm = alarms.drift_alarm(window, once, 0.01)
    assert alarm is not None
    assert alarm.features == ("city",)
    assert {part.feature for part in once.drifted} == {"n3", "city"}
    assert alarms.drift_alarm(window, found.persisting([both, set()]), 0.01) is None


def test_what_the_model_rests_on_comes_first_and_is_named(profile: ReferenceProfile) -> None:
    rows = draw(1000, np.random.default_rng(8))
    category_shift(rows)
    rows["n0"] = rows["n0"] * 50
    columns = [
        replace(column, importance={"n0": 0.001, "city": 0.9}.get(column.name, 0.01))
        if column.role is Role.FEATURE
        else column
        for column in columns_of(profile)
    ]
    window = window_of(profile, rows)
    found = comparisons.compare(columns, window, calibrated(columns, 1000), Drift()).persisting(())
    assert [part.feature for part in found.drifted] == ["city", "n0"]
    alarm = alarms.drift_alarm(window, found, 0.01)
    assert alarm is not None
    assert "`city` (the model rests on it for 90%)" in alarm.message


@pytest.mark.parametrize(("reference", "rows"), [(20_000, 10_000), (20_000, 1000), (100_000, 10_000)])
def test_more_categories_than_cells_do_not_alarm_because_the_frequent_ones_were_chosen(
    reference: int, rows: int
) -> None:
    generator = np.random.default_rng(reference + rows)
    weights = generator.gamma(1.5, 1.0, 4000)
    planes = np.array([f"N{number}" for number in range(4000)], dtype=object)
    alarms_, repeats = 0, 30
    for _ in range(repeats):
        part = profiles.profile_categories(generator.choice(planes, reference, p=weights / weights.sum()))
        column = column_of("plane", part)
        window = part.count(generator.choice(planes, rows, p=weights / weights.sum()))
        (found,) = comparisons.compare_counts(
            [column], [window], calibrated([column], rows), Drift(), judged=True
        )
        alarms_ += found.drifted
    assert alarms_ <= 2


CLASSES = np.array(["a", "b", "c"], dtype=object)


@pytest.mark.parametrize("blocks", [None, np.arange(20_000) // 400], ids=["redrawn", "blocks"])
def test_classes_that_trade_places_are_drift_though_no_score_moves(blocks: np.ndarray | None) -> None:
    generator = np.random.default_rng(5)
    usual = generator.choice(CLASSES, 20_000, p=[0.6, 0.3, 0.1])
    profile = profile_of(draw(20_000, generator), blocks).model_copy(
        update={"prediction": profiles.profile_categories(usual)}
    )
    columns = columns_of(profile, classes=3)
    setup = Setup(calibrations.size_class(800), 0.01, 2 if blocks is not None else 0, 7)
    calibration = calibrations.calibrate(columns, setup)
    assert calibration.mode is (Mode.REDRAWN if blocks is None else Mode.BLOCKS)
    assert profile.prediction is not None
    for shares, drifted in (([0.6, 0.3, 0.1], []), ([0.1, 0.3, 0.6], ["prediction"])):
        predicted = generator.choice(CLASSES, 800, p=shares)
        window = window_of(profile, draw(800, generator)).model_copy(
            update={"prediction": tuple(profile.prediction.count(predicted).tolist())}
        )
        found = comparisons.compare(columns, window, calibration, Drift())
        assert [part.feature for part in found.drifted] == drifted
        assert found.prediction is not None
        assert found.prediction.drifted == bool(drifted)
        alarm = alarms.drift_alarm(window, found.persisting(()), calibration.threshold)
        assert (alarm is not None) == bool(drifted)
        assert alarm is None or "the predicted classes: other values are frequent" in alarm.message


def test_of_two_classes_the_score_says_all(profile: ReferenceProfile) -> None:
    two = profile.model_copy(update={"prediction": profiles.profile_categories(CLASSES[:2])})
    assert [column.name for column in columns_of(two, classes=2)] == [*FEATURES, "score"]


def test_a_feature_may_be_called_as_what_the_model_says_is() -> None:
    generator = np.random.default_rng(6)
    rows = draw(5000, generator)
    part = profiles.profile_numbers(generator.normal(size=5000))
    profile = profile_of(rows).model_copy(update={"features": {"score": part}})
    columns = columns_of(profile)
    counts = {"score": tuple(part.count(generator.normal(3, 1, 500)).tolist())}
    window = window_of(profile_of(rows), draw(500, generator)).model_copy(update={"features": counts})
    found = comparisons.compare(columns, window, calibrated(columns, 500), Drift())
    found = found.persisting(())
    alarm = alarms.drift_alarm(window, found, 0.01)
    assert alarm is not None
    assert alarm.message.count("`score`: other values") == 1
    assert found.score is not None
    assert not found.score.drifted
