"""What stops or warns because features know the target, rows repeat, or the target moved."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.unit.components.tabular import ingested, make_settings, make_spec

from pilotage.components import snapshots
from pilotage.components.validate import validate
from pilotage.core import errors
from pilotage.core.artifacts import Finding, FindingKind, Report, Severity
from pilotage.core.settings import Settings

ROWS = 600


@pytest.fixture
def run(tmp_path):
    """Ingest a table and validate it, against an earlier snapshot if there is one."""

    def call(table: dict[str, Any], champion=None, metric="roc_auc", **data: Any):
        pl.DataFrame(table, strict=False).write_parquet(tmp_path / "t.parquet")
        snapshot = ingested(tmp_path, "t.parquet", metric=metric, **data)
        spec = make_spec("t.parquet", metric=metric, **data)
        return snapshot, validate(
            spec, tmp_path, make_settings(tmp_path), snapshot, champion, tmp_path / "out"
        )

    return call


def honest(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """A table of which nothing is to be said; the target `y` can be told a little."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=rows)
    return {
        "size": size,
        "colour": rng.choice(["red", "green", "blue"], rows),
        "member": rng.random(rows) < 0.3,
        "y": np.where(size + rng.normal(size=rows) > 0.5, "yes", "no"),
    }


def of(report: Report) -> dict[tuple[FindingKind, str | None], Finding]:
    return {(finding.kind, finding.column): finding for finding in report.findings}


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "r2"])
def test_honest_features_are_not_accused(run, metric):
    table = honest()
    if metric == "accuracy":
        table["y"] = np.digitize(table["size"] + np.random.default_rng(1).normal(size=ROWS), [-1, 0, 1])
    if metric == "r2":
        table["y"] = table["size"] + np.random.default_rng(1).normal(size=ROWS) / 3
    _, report = run(table, metric=metric)
    assert report.findings == ()


def test_a_copy_of_the_target_stops_the_run_with_the_remedy(run, tmp_path):
    table = honest()
    with pytest.raises(
        errors.ValidationFailed, match=r"`outcome` is a copy of the target `y`.*`data.exclude`"
    ) as raised:
        run({**table, "outcome": table["y"]})
    assert raised.value.exit_code == 3
    report = Report.read(tmp_path / "out")
    assert not report.success
    assert of(report)[FindingKind.TARGET_COPY, "outcome"].severity is Severity.CRITICAL
    page = (tmp_path / "out/report.html").read_text()
    assert "target copy" in page
    assert "is a copy of the target" in page


def test_a_copy_that_the_pilot_lists_warns(run, caplog):
    table = honest()
    kinds = {"size": "number", "outcome": "category"}
    with caplog.at_level(logging.WARNING):
        _, report = run({**table, "outcome": table["y"]}, features=kinds)
    assert report.success
    assert of(report)[FindingKind.TARGET_COPY, "outcome"].severity is Severity.WARNING
    assert "target_copy: outcome: is a copy" in caplog.text


def test_a_copy_but_for_one_row_beyond_the_sample_is_none(run, monkeypatch):
    monkeypatch.setattr("pilotage.components.validation.leakages.MOST_ROWS", 200)
    table = honest()
    seen = set(snapshots.sample(ROWS, 200).tolist())
    unseen = next(row for row in range(ROWS) if row not in seen)
    nearly = table["y"].copy()
    nearly[unseen] = "no" if nearly[unseen] == "yes" else "yes"
    _, report = run({**table, "outcome": nearly})
    assert set(of(report)) == {(FindingKind.LEAKAGE, "outcome")}


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda y, rng: np.where(y == "yes", "late", "early"), id="another spelling"),
        pytest.param(lambda y, rng: y == "yes", id="boolean"),
        pytest.param(lambda y, rng: np.where(y == "yes", 20, 5) + rng.normal(size=ROWS), id="minutes"),
        pytest.param(lambda y, rng: [None if yes else 3.5 for yes in y == "yes"], id="missing number"),
        pytest.param(
            lambda y, rng: [None if yes else f"r{i % 7}" for i, yes in enumerate(y == "yes")],
            id="missing reason",
        ),
        pytest.param(lambda y, rng: [f"{value}{i % 40}" for i, value in enumerate(y)], id="many categories"),
    ],
)
def test_a_feature_that_tells_the_target_alone_warns(run, leak):
    table = honest()
    _, report = run({**table, "leak": leak(table["y"], np.random.default_rng(2))})
    assert report.success
    finding = of(report)[FindingKind.LEAKAGE, "leak"]
    assert finding.value is not None
    assert finding.value > 0.99
    assert "`data.exclude`" in finding.message
    assert "on 600 rows" in finding.message
    assert len(report.findings) == 1


def test_leaks_of_numbers_and_of_several_classes_are_found(run):
    table = honest()
    price = np.exp(table["size"])
    _, report = run({**table, "y": price, "with_tax": price * 1.19}, metric="r2")
    assert of(report)[FindingKind.LEAKAGE, "with_tax"].value == pytest.approx(1.0, abs=1e-3)
    assert (FindingKind.LEAKAGE, "size") in of(report), "the price was made of it"
    grade = np.random.default_rng(0).integers(1, 6, ROWS)
    _, report = run(
        {**honest(), "y": grade, "letter": [f"grade {value}" for value in grade]}, metric="accuracy"
    )
    assert set(of(report)) == {(FindingKind.LEAKAGE, "letter")}


def test_a_table_of_few_rows_is_not_judged_by_what_chance_can_do(run):
    table = honest(60)
    _, report = run({**table, "leak": table["y"] == "yes"})
    assert report.findings == ()


def test_a_rows_number_warns_unless_it_is_the_key(run):
    table = {**honest(), "number": np.arange(ROWS) * 3 + 7}
    _, report = run(table)
    assert set(of(report)) == {(FindingKind.IDENTIFIER, "number")}
    _, report = run(table, key="number")
    assert report.findings == ()
    quantity = np.cumsum(np.arange(ROWS) ** 2) + np.arange(ROWS)
    _, report = run({**table, "number": quantity})
    assert report.findings == (), "the table is sorted by a quantity"


def repeated(times: bool) -> dict[str, Any]:
    """600 rows, of which the last tenth repeats the first."""
    rows = np.concatenate([np.arange(540), np.arange(60)])
    table = {name: values[rows] for name, values in honest().items()}
    if times:
        table["at"] = np.datetime64("2026-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "h")
    return {**table, "id": [f"f{row}" for row in range(ROWS)]}


def test_held_out_rows_that_repeat_training_rows_warn(run):
    _, report = run(repeated(times=True), time="at", key="id", split={"test": 0.1})
    finding = of(report)[FindingKind.DUPLICATES, None]
    assert finding.value == 1.0
    assert "100.0% of the held-out rows" in finding.message
    _, report = run(repeated(times=False), key="id")
    assert 0.05 < (of(report)[FindingKind.DUPLICATES, None].value or 0) < 0.4


def test_copies_that_the_split_keeps_together_do_not_warn(run):
    _, report = run(repeated(times=False), exclude=["id"])
    assert report.findings == ()


def test_rows_that_are_bound_to_recur_do_not_warn(run):
    rng = np.random.default_rng(0)
    table = {
        "coin": rng.choice(["heads", "tails"], ROWS),
        "die": rng.integers(1, 7, ROWS),
        "y": rng.choice(["yes", "no"], ROWS),
        "id": [f"f{row}" for row in range(ROWS)],
    }
    _, report = run(table, key="id")
    assert report.findings == ()


@pytest.mark.parametrize(
    ("metric", "words"), [("roc_auc", r"yes was 3\d\.\d%, now is 7\d\.\d%"), ("r2", "median was")]
)
def test_a_target_that_shifted_warns_with_what_moved(run, metric, words):
    def table(seed: int, shift: float) -> dict[str, Any]:
        found = honest(seed=seed)
        noise = np.random.default_rng(seed + 50).normal(size=ROWS)
        number = found["size"] + noise + shift
        return {**found, "y": number if metric == "r2" else np.where(number > 0.5, "yes", "no")}

    champion, _ = run(table(1, 0.0), metric=metric)
    _, calm = run(table(2, 0.0), champion, metric=metric)
    assert calm.findings == ()
    _, report = run(table(3, 1.5), champion, metric=metric)
    finding = of(report)[FindingKind.TARGET_SHIFT, "y"]
    assert report.success
    assert (finding.value or 0) > 0.1
    assert re.search(words, finding.message)
    assert not report.value_skew


def test_a_feature_that_was_missing_or_constant_moves_and_says_so(run):
    kinds = {"size": "number", "empty": "number", "fixed": "number"}
    table = {**honest(), "empty": [None] * ROWS, "fixed": [5.0] * ROWS}
    champion, _ = run({**table, "empty": pl.Series([None] * ROWS, dtype=pl.Float64)}, features=kinds)
    changed = {**honest(seed=1), "empty": np.random.default_rng(1).normal(size=ROWS), "fixed": [6.0] * ROWS}
    _, report = run(changed, champion, features=kinds)
    told = {skew.column: skew.message for skew in report.value_skew}
    assert "it was missing in every row, now is in 0.0%" in told["empty"]
    assert "the median was always 5, now is 6" in told["fixed"]
    assert set(told) == {"empty", "fixed"}
    assert all((skew.effect or 0) > (skew.chance or 1) for skew in report.value_skew)
    _, same = run(table, champion, features=kinds)
    assert same.value_skew == ()


def test_each_check_of_a_drafted_suite_states_its_tolerance(run, tmp_path):
    _, report = run(honest())
    assert all(check.tolerance for check in report.checks)
    told = {(check.column, check.expectation): check.tolerance for check in report.checks}
    assert told["colour", "expect_column_values_to_be_in_set"] == "95% among the 3 that were seen"
    assert told["colour", "expect_column_values_to_not_be_null"] == "0.0% were missing, 5% more may be"
    page = (tmp_path / "out/report.html").read_text()
    assert "95% among the 3 that were seen" in page


def test_a_sample_is_of_rows_from_everywhere_and_the_same_each_time(tmp_path):
    found = snapshots.sample(1_000_003, 500)
    assert found.tolist() == snapshots.sample(1_000_003, 500).tolist()
    assert found.size == len(set(found.tolist())) == 500
    assert found.min() >= 0
    assert found.max() < 1_000_003
    assert np.diff(found).max() < 2 * 1_000_003 / 500 + 1
    assert np.unique(found % 7).size == 7
    assert snapshots.sample(20, 500).tolist() == list(range(20))


def test_rows_are_taken_at_their_positions(tmp_path):
    pl.DataFrame({"n": range(20_000), "y": ["a", "b"] * 10_000}).write_parquet(tmp_path / "t.parquet")
    snapshot = ingested(tmp_path, "t.parquet")
    installation: Settings = make_settings(tmp_path)
    places = np.array([0, 8_191, 8_192, 19_999])
    assert snapshots.take(installation, snapshot, ["n"], places).column("n").to_pylist() == places.tolist()
