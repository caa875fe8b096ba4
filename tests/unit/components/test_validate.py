"""Which suite is in force, what stops a run and what warns, and the files that are left."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.unit.components.tabular import columns, ingested, make_settings, make_spec, write_csv

from pilotage.components.validate import validate
from pilotage.core import errors
from pilotage.core.artifacts import Check, Report, Severity


@pytest.fixture
def run(tmp_path):
    """Ingest a table and validate it, against an earlier snapshot if there is one."""

    def call(table, champion=None, **data):
        write_csv(tmp_path / "t.csv", table)
        snapshot = ingested(tmp_path, "t.csv", **{k: v for k, v in data.items() if k != "expectations"})
        spec = make_spec("t.csv", **data)
        return snapshot, validate(
            spec, tmp_path, make_settings(tmp_path), snapshot, champion, tmp_path / "out"
        )

    return call


def failed(report: Report) -> list[Check]:
    return [check for check in report.checks if not check.success]


def test_a_drafted_suite_passes_on_the_data_it_was_learned_from(run, tmp_path):
    table = {**columns(), "k": list(range(60))}
    snapshot, report = run(table, key="k", time="day")
    assert report.success
    assert report.drafted
    assert not failed(report)
    assert Report.read(tmp_path / "out") == report
    suite = json.loads((tmp_path / "out/suite.json").read_text())
    kinds = {(item["type"], item["kwargs"].get("column")): item for item in suite["expectations"]}
    assert kinds["expect_column_values_to_be_unique", "k"]["severity"] == "critical"
    colours = kinds["expect_column_values_to_be_in_set", "colour"]
    assert colours["severity"] == "warning"
    assert colours["kwargs"]["value_set"] == ["blue", "green", "red"]
    assert all(item["meta"]["pilotage"]["learned_from"] == snapshot.digest for item in suite["expectations"])
    assert all(item["meta"]["pilotage"]["tolerance"] for item in suite["expectations"])
    result = json.loads((tmp_path / "out/validation.json").read_text())
    assert result["success"] is True
    assert result["statistics"]["evaluated_expectations"] == len(report.checks)


def test_new_data_is_held_against_the_champions_suite(run, tmp_path):
    champion, _ = run(columns())
    table = columns()
    table["colour"] = ["violet"] * 60
    table["y"] = ["no", "yes"] * 30
    _, report = run({**table, "colour": ["violet", "pink"] * 30}, champion)
    assert report.success
    warned = {check.column: check for check in failed(report)}
    assert warned["colour"].severity is Severity.WARNING
    assert "violet" in warned["colour"].observed
    skewed = {skew.column: skew.effect for skew in report.value_skew}
    assert skewed["colour"] > 0.1
    assert "count" not in skewed
    kept = list((tmp_path / "home/suites/trial").iterdir())
    assert [path.name.startswith(champion.digest) for path in kept] == [True]


def test_a_column_that_vanished_stops_the_run_after_the_report_is_written(run, tmp_path):
    champion, _ = run(columns())
    table = columns()
    table.pop("colour")
    with pytest.raises(errors.DataError, match="`colour`: the column is gone") as raised:
        run(table, champion)
    assert raised.value.exit_code == 2
    report = Report.read(tmp_path / "out")
    assert not report.success
    assert [skew.column for skew in report.schema_skew] == ["colour"]
    assert "the column is gone" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"count": ["low", "high"] * 30}, "type was integer, now is text", id="type"),
        pytest.param({"size": [None] * 60}, "no value", id="empty"),
        pytest.param({"member": ["maybe", "no"] * 30}, "type was boolean", id="booleans become text"),
    ],
)
def test_a_column_of_another_kind_stops_the_run(run, changed, words):
    champion, _ = run(columns())
    with pytest.raises(errors.DataError, match=words):
        run({**columns(), **changed}, champion)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"exclude": ["colour"]}, id="excluded"),
        pytest.param({"features": {"size": "number", "count": "number"}}, id="not declared"),
    ],
)
def test_a_change_that_the_pilot_asks_for_does_not_stop(run, data):
    champion, _ = run(columns())
    table = columns()
    table.pop("colour")
    _, report = run(table, champion, **data)
    assert report.success
    assert "colour" in {skew.column for skew in report.value_skew}


def test_integers_that_become_numbers_are_no_schema_change(run):
    champion, _ = run(columns())
    table = columns()
    table["count"][0] = 0.5
    _, report = run(table, champion)
    assert report.success


def test_a_table_that_shrank_to_less_than_a_tenth_stops(run):
    champion, _ = run(columns(600))
    with pytest.raises(errors.ValidationFailed, match="row_count"):
        run(columns(40), champion)


def test_a_champion_whose_rows_are_gone_is_no_obstacle(run, tmp_path):
    champion, _ = run(columns())
    gone = champion.model_copy(update={"digest": "0" * 64, "name": f"snapshots/{'0' * 64}"})
    _, report = run(columns(61), gone)
    assert report.success
    table = columns(61)
    table.pop("colour")
    with pytest.raises(errors.DataError, match="`colour`: the column is gone"):
        run(table, gone)


SUITE: dict[str, Any] = {
    "name": "own",
    "expectations": [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "count", "max_value": 5}},
        {"type": "expect_column_to_exist", "kwargs": {"column": "colour"}, "severity": "info"},
    ],
}


def test_the_pilots_own_suite_stops_unless_it_says_warning(run, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps(SUITE))
    with pytest.raises(errors.ValidationFailed, match="`count`: 18 unexpected"):
        run(columns(), expectations="own.json")
    warning = [{**SUITE["expectations"][0], "severity": "warning"}, SUITE["expectations"][1]]
    (tmp_path / "own.json").write_text(json.dumps({**SUITE, "expectations": warning}))
    _, report = run(columns(), expectations="own.json")
    assert report.success
    assert not report.drafted
    assert [check.severity for check in failed(report)] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        pytest.param("expect_column_values_to_not_be_null", {}, id="nulls"),
        pytest.param("expect_column_values_to_be_in_type_list", {"type_list": ["str"]}, id="types"),
    ],
)
def test_an_expectation_about_a_missing_column_fails_and_says_so(run, tmp_path, kind, more):
    suite = {"expectations": [{"type": kind, "kwargs": {"column": "zz", **more}}]}
    (tmp_path / "own.json").write_text(json.dumps(suite))
    with pytest.raises(errors.ValidationFailed, match=r"zz.*there is no such column"):
        run(columns(), expectations="own.json")
    assert "Traceback" not in (tmp_path / "out/validation.json").read_text()


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        pytest.param(None, errors.NotFound, "does not exist", id="no file"),
        pytest.param("{", errors.SpecError, "not JSON", id="not json"),
        pytest.param("[]", errors.SpecError, "no list", id="no suite"),
        pytest.param(
            '{"expectations": [{"type": "expect_magic"}]}', errors.SpecError, "expect_magic", id="type"
        ),
        pytest.param('{"expectations": [{"kwargs": {}}]}', errors.SpecError, "Expectation 1", id="no type"),
        pytest.param(
            '{"expectations": [{"type": "expect_column_to_exist", "kwargs": {"col": "a"}}]}',
            errors.SpecError,
            "Expectation 1",
            id="argument",
        ),
    ],
)
def test_a_wrong_suite_is_an_error_that_names_it(run, tmp_path, content, kind, words):
    if content is not None:
        (tmp_path / "own.json").write_text(content)
    with pytest.raises(kind, match=words) as raised:
        run(columns(), expectations="own.json")
    assert raised.value.remedy


def test_a_suite_of_columns_that_personal_rules_drop_says_so_and_what_to_take_out(run, tmp_path):
    kwargs = {"column": "mail"}
    suite = {"expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": kwargs}]}
    (tmp_path / "own.json").write_text(json.dumps(suite))
    table = columns()
    table["mail"] = [f"somebody{n}@example.org" for n in range(len(next(iter(table.values()))))]
    with pytest.raises(
        errors.SpecError, match=r"`own.json` expects something of column `mail`.*drops"
    ) as raised:
        run(table, expectations="own.json", personal={"columns": {"mail": "drop"}})
    assert "Take the expectations of `mail` out" in raised.value.remedy
    run(table, expectations="own.json", personal={"columns": {"mail": "mask"}})


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_loads_nothing_and_escapes_what_it_shows(run, tmp_path):
    evil = "<script>alert(1)</script>"
    run({**columns(), evil: ["<img src=x>", "b", None] * 20})
    text = (tmp_path / "out/report.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.links
    names = [tag for tag, _ in page.tags]
    assert not {"script", "img", "link", "iframe"} & set(names)
    assert "&lt;script&gt;" in text
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert "default-src 'none'" in str(policy)
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
