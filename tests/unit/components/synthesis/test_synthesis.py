"""Synthetic rows are like real ones, are none of them, and are learned from nothing but what is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats

from pilotage.components import splits
from pilotage.components.datasets import Dataset
from pilotage.components.synthesis import augmentations, fidelities, leakages, margins, plans, synthesizers
from pilotage.components.training import searches
from pilotage.core import errors
from pilotage.core.artifacts import Feature
from pilotage.core.features import Columns
from pilotage.core.metrics import Task
from pilotage.core.specs import Augment, FeatureKind, PilotSpec, Range, Search, Synthesizer

KINDS = {
    "size": FeatureKind.NUMBER, "count": FeatureKind.NUMBER, "flag": FeatureKind.BOOLEAN,
    "colour": FeatureKind.CATEGORY, "at": FeatureKind.TIME, "gappy": FeatureKind.NUMBER,
}  # fmt: skip
CLASSES = Task.CLASSIFICATION


def table(rows: int = 2_000, late: float = 0.1, seed: int = 0, task: Task = CLASSES) -> Dataset:
    """Rows with every kind of column, which depend on each other."""
    random = np.random.default_rng(seed)
    hidden = random.standard_normal((rows, 3))
    size = np.round(np.exp(hidden[:, 0]), 2)
    days = (20_000 + 100 * hidden[:, 2]).astype(np.int64) * 86_400_000_000
    gappy = np.where(hidden[:, 1] > 0.5, np.nan, hidden[:, 1])
    noise = random.standard_normal(rows)
    target = hidden[:, 0] + 0.5 * noise
    columns: Columns = {
        "size": size,
        "count": np.round(10 + 3 * (hidden[:, 0] + noise)),
        "flag": (hidden[:, 1] + noise > 0.5).astype(float),
        "colour": np.array(["red", "green", "blue"], dtype=object)[np.digitize(hidden[:, 0], [-1, 1])],
        "at": days.astype("datetime64[us]"),
        "gappy": gappy,
    }
    is_late = target >= np.quantile(target, 1 - late)
    truth = np.where(is_late, "late", "ok").astype(object) if task is CLASSES else target
    return Dataset(tuple(Feature(name=name, kind=kind) for name, kind in KINDS.items()), columns, truth)


def spec(task: Task = CLASSES, **augment: Any) -> PilotSpec:
    return PilotSpec.model_validate(
        {
            "version": 1,
            "pilot": "trial",
            "goal": {"metric": "roc_auc" if task is CLASSES else "r2"},
            "data": {"source": "a.csv", "target": "y", "augment": augment},
            "train": {"estimator": "logistic_regression" if task is CLASSES else "hist_gradient_boosting"},
        }
    )


def fitted(dataset: Dataset, task: Task = CLASSES, **more: Any) -> synthesizers.Fitted:
    return synthesizers.fit(dataset, task, Synthesizer.COPULA, 0, **more)


def same(first: Dataset, second: Dataset) -> bool:
    return first.frame().equals(second.frame()) and np.array_equal(first.target, second.target)


def test_rows_have_the_kinds_units_gaps_and_ties_of_real_ones() -> None:
    real = table()
    made = fitted(real).draw({"ok": 1_800, "late": 200}, 1)
    frame = made.frame()
    assert {name: frame[name].dtype for name in KINDS} == {name: real.frame()[name].dtype for name in KINDS}
    assert np.allclose(frame["size"], frame["size"].round(2))
    assert (frame["count"] == frame["count"].round()).all()
    assert set(frame["flag"].dropna()) == {0.0, 1.0}
    assert set(frame["colour"]) == {"red", "green", "blue"}
    assert (made.columns["at"].astype(np.int64) % 86_400_000_000 == 0).all(), "days stay days"
    assert abs(frame["gappy"].isna().mean() - real.frame()["gappy"].isna().mean()) < 0.04
    measured = fidelities.measure(real, made, CLASSES, 0)
    assert max(measured.columns.values()) < 0.06
    assert measured.score > 0.95
    ranks = [stats.spearmanr(part.columns["size"], part.columns["count"]).statistic for part in (real, made)]
    assert abs(ranks[0] - ranks[1]) < 0.08


def test_the_columns_of_a_regression_go_with_its_target() -> None:
    real = table(task=Task.REGRESSION)
    made = fitted(real, Task.REGRESSION).draw({None: 2_000}, 1)
    found = [
        np.corrcoef(pd.Series(part.columns["size"]).rank(), pd.Series(part.target).rank())[0, 1]
        for part in (real, made)
    ]
    assert abs(found[0] - found[1]) < 0.05
    assert made.target.dtype == np.float64


def test_a_seed_repeats_rows_and_another_makes_others() -> None:
    source = fitted(table())
    counts = {"late": 50, "ok": 50}
    assert same(source.draw(counts, 3), fitted(table()).draw(counts, 3))
    assert not same(source.draw(counts, 3), source.draw(counts, 4))


def test_no_value_of_a_single_row_is_kept() -> None:
    real = table()
    real.columns["size"][0] = 1e6
    real.columns["colour"][1] = "only once"
    made = fitted(real).draw({"ok": 5_000, "late": 5_000}, 0)
    assert made.columns["size"].max() < 1e6
    assert "only once" not in made.columns["colour"]


def test_numbers_of_a_small_class_are_not_kept_because_they_are_few() -> None:
    real = table(400, late=0.1)
    amounts = np.round(np.random.default_rng(1).normal(500, 50, real.rows), 2)
    real.columns["size"][:] = amounts
    made = fitted(real).draw({"late": 2_000}, 0)
    own = amounts[real.target == "late"]
    assert len(own) <= margins.FEW_VALUES
    assert np.isin(made.columns["size"], own).mean() < 0.02


def test_columns_that_say_nothing_are_kept_as_they_are() -> None:
    real = table()
    real.columns["size"][:] = 7.0
    real.columns["gappy"][:] = np.nan
    real.columns["at"][:] = np.datetime64("NaT")
    real.columns["colour"][:] = [f"name {row}" for row in range(real.rows)]
    source = fitted(real)
    made = source.draw({"late": 30}, 0)
    assert set(made.columns["size"]) == {7.0}
    assert np.isnan(made.columns["gappy"]).all()
    assert np.isnat(made.columns["at"]).all()
    assert set(made.columns["colour"]) == {None}
    assert "`colour` is left empty" in source.notes[0]


def test_many_categories_are_bounded_and_common_ones_kept() -> None:
    real = table(6_000)
    real.columns["colour"][:] = [f"code {row % 1_200}" for row in range(real.rows)]
    made = fitted(real).draw({"ok": 3_000}, 0)
    assert 100 < len(set(made.columns["colour"])) <= margins.MOST_LEVELS


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_a_class_of_a_few_rows_is_refused_where_it_is_wanted(rows: int) -> None:
    real = table(500)
    real.target[:] = "ok"
    real.target[:rows] = "late"
    with pytest.raises(errors.DataError, match=f"'late' has {rows} training row"):
        augmentations.add(spec(classes={"late": 0.3}), real)
    assert augmentations.add(spec(classes={"late": 0.3}), real, strict=False)[1] == {}, "a fold goes on"


def test_a_class_that_is_not_there_is_told_of_with_those_that_are() -> None:
    with pytest.raises(errors.DataError, match="`lte`, which no training row has; there are late, ok"):
        augmentations.add(spec(classes={"lte": 0.3}), table(200))


def test_far_too_many_rows_are_refused() -> None:
    with pytest.raises(errors.DataError, match="at most 20 for each"):
        augmentations.add(spec(rows=100_000), table(500))


@given(
    counts=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 500), min_size=2),
    share=st.floats(0.01, 0.9),
)
def test_a_class_gets_its_share_and_no_class_loses_a_row(counts: dict[str, int], share: float) -> None:
    name = min(counts)
    added = plans.counts(Augment(classes={name: share}), counts)
    assert set(added) <= {name}
    total = sum(counts.values()) + sum(added.values())
    now = (counts[name] + added.get(name, 0)) / total
    assert now >= share - 1e-6
    if added:
        assert (counts[name] + added[name] - 1) / (total - 1) < share, "and no row more"
    balanced = plans.counts(Augment(balance=True), counts)
    assert {counts[each] + balanced.get(each, 0) for each in counts} == {max(counts.values())}
    spread = plans.spread(100, counts)
    assert sum(spread.values()) == 100


@effort(max_examples=12)
@given(
    rows=st.integers(120, 400), late=st.floats(0.1, 0.4), share=st.floats(0.45, 0.8), seed=st.integers(0, 5)
)
def test_real_rows_come_first_untouched_and_synthetic_ones_behind(
    rows: int, late: float, share: float, seed: int
) -> None:
    """Each real row carries a mark that no synthetic row can have: half of a number nobody else has."""
    real = table(rows, late, seed)
    marked = Dataset(
        (*real.features, Feature(name="mark", kind=FeatureKind.CATEGORY)),
        {**real.columns, "mark": np.array([f"real {row}" for row in range(rows)], dtype=object)},
        real.target,
    )
    before = marked.frame().copy()
    seen, counts, _ = augmentations.add(spec(classes={"late": share}), marked)
    assert seen.rows == rows + counts["late"] > rows
    assert seen.take(np.arange(rows)).frame().equals(before)
    assert marked.frame().equals(before), "what was given is as it was"
    assert set(seen.columns["mark"][rows:]) == {None}
    assert set(seen.target[rows:]) == {"late"}


def test_what_gives_nothing_away_is_told_from_what_copies() -> None:
    """The copula passes its gates; a synthesizer that repeats training rows, exactly or nearly, does not."""
    real = table(1_200, late=0.4)
    members, control = real.take(np.arange(0, 1_200, 2)), real.take(np.arange(1, 1_200, 2))
    honest = leakages.measure(members, control, fitted(members).draw({"ok": 360, "late": 240}, 0), CLASSES, 0)
    copied = leakages.measure(members, control, members, CLASSES, 0)
    blurred = members.take(np.arange(members.rows))
    blurred.columns["size"][:] *= 1.001
    nearly = leakages.measure(members, control, blurred, CLASSES, 0)
    assert honest is not None
    assert copied is not None
    assert nearly is not None
    assert (honest.copies, copied.copies, nearly.copies) == (0, members.rows, 0)
    for measured in (copied, nearly):
        assert (measured.membership.value or 0) > 0.9
        assert (measured.closeness.value or 0) > 0.9
    for found in (honest.membership, honest.closeness):
        assert 0.4 < (found.value or 0) < 0.6
        assert (found.low or 1) <= (found.value or 0) <= (found.high or 0)


def test_too_few_rows_are_not_measured_and_said_so() -> None:
    measured, note = augmentations.leak(spec(rows=10), table(40), set())
    assert measured is None
    assert "not measured" in note


def test_what_is_not_alike_is_seen() -> None:
    real = table()
    shuffled = table()
    shuffled.columns["count"] = shuffled.columns["count"][::-1].copy()
    shifted = table()
    shifted.columns["size"] = shifted.columns["size"] + 2
    assert fidelities.measure(real, real, CLASSES, 0).score == pytest.approx(1.0)
    pair = fidelities.measure(real, shuffled, CLASSES, 0).pairs[0]
    assert "count" in (pair.first, pair.second)
    assert fidelities.measure(real, shifted, CLASSES, 0).columns["size"] > 0.5


def test_a_search_scores_real_rows_and_learns_from_its_own_side_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level that only the held-out side of a fold has cannot be among what that fold is fitted on."""
    real = table(600, late=0.3)
    folds = splits.folds(real, CLASSES, 42)
    for place, fold in enumerate(folds):
        real.columns["colour"][fold.test] = f"only {place}"
    seen: list[tuple[Dataset, Dataset]] = []

    def note(spec: PilotSpec, folder: Path, part: Dataset, rest: Dataset, *_: Any) -> float:
        seen.append((part, rest))
        return 0.5

    monkeypatch.setattr(searches, "score_fold", note)
    wanted = spec(classes={"late": 0.6})
    search = Search(trials=1, space={"C": Range(low=0.1, high=1.0)})
    augment = augmentations.augmenter(wanted)
    searches.search(wanted, search, tmp_path, real, "late", augment=augment)
    assert len(seen) == len(folds)
    for place, (fold, (part, rest)) in enumerate(zip(folds, seen, strict=True)):
        assert same(rest, real.take(fold.test))
        assert part.rows > fold.train.size
        assert f"only {place}" not in part.columns["colour"]
        assert part.take(np.arange(fold.train.size)).frame().equals(real.take(fold.train).frame())


def test_sdv_that_is_not_installed_is_named() -> None:
    with pytest.raises(errors.MissingExtra, match="Synthetic Data Vault"):
        synthesizers.fit(table(200), CLASSES, Synthesizer.SDV, 0)


def test_an_estimator_that_holds_rows_out_by_itself_is_refused() -> None:
    wanted = spec(rows=10)
    early = wanted.model_copy(
        update={"train": wanted.train.model_copy(update={"params": {"early_stopping": True}})}
    )
    with pytest.raises(errors.EstimatorError, match="early_stopping"):
        augmentations.check(early)
    augmentations.check(wanted)
