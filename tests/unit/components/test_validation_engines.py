"""Compiled expectations against Great Expectations' own engine: the same verdicts and the same results.

Where they knowingly differ is in docs/validation.md, and `alike` is what allows it, no more.
"""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.components import validation_suites as suites
from tests.unit.components import validation_tables as tables

from pilotage.components.validation import conditions, expectations, fallbacks, plans, results, validations
from pilotage.components.validation.tables import Table


def alike(ours: Any, theirs: Any) -> bool:
    """Equal, but for the last digits of what was added up and the order of what is missing from a set."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return ours == theirs or math.isclose(ours, theirs, rel_tol=1e-9)
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(
            sorted(map(repr, ours[key])) == sorted(map(repr, theirs[key]))
            if key == "partial_missing_list"
            else alike(ours[key], theirs[key])
            for key in ours
        )
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    return bool(ours == theirs)


def compare(table: Table, items: list[dict[str, Any]]) -> set[str]:
    """Both engines on one suite; gives the kinds that were compiled."""
    parsed = fallbacks.read(items)
    try:
        for ours, theirs in zip(expectations.read(items), parsed, strict=True):
            assert alike(json.loads(json.dumps(ours.kwargs)), theirs.kwargs), theirs
            assert (ours.severity, ours.meta) == (theirs.severity, theirs.meta)
    except conditions.Unsure:
        pass
    found = plans.run(parsed, table)
    assert {item.place for item in found.left} | set(found.outcomes) == {item.place for item in parsed}
    theirs_by_place = fallbacks.run(parsed, table)
    for place, outcome in found.outcomes.items():
        ours = json.loads(json.dumps(results.of_expectation(parsed[place - 1], outcome, table.name)))
        assert alike(ours, theirs_by_place[place]), (ours, theirs_by_place[place])
    return {parsed[place - 1].type for place in found.outcomes}


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=tables.frames(), items=st.lists(suites.expectations(), min_size=25, max_size=30))
def test_any_suite_gives_great_expectations_results_on_any_table(frame, items):
    readable = [item for item in items if not refused(item)]
    with tables.stored(frame) as table:
        if readable:
            compare(table, readable)


def refused(item: dict[str, Any]) -> bool:
    """Whether Great Expectations' parser does not take it, as limits the wrong way round."""
    from pilotage.core import errors

    try:
        fallbacks.read([item])
    except errors.SpecError:
        return True
    return False


def one(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs}


FRAME = pl.DataFrame(
    {
        "number": [1.0, math.nan, math.inf, -math.inf, 2.0, None, -0.0, 0.0],
        "whole": [3, 1, 2, 2, 5, 8, 9, 10],
        "gaps": [1, None, 3, 3, None, 6, 7, 2**53 + 1],
        "text": ["a", "é", "", "a\n", "日本", "A1", "x@y.org", "b"],
        "holes": ["a", None, "b", None, "c", "a", None, ""],
        "day": [date(2024, 1, day) for day in range(1, 9)],
        "days": [date(2024, 1, 1), None, *[date(2024, 1, day) for day in range(3, 9)]],
        "time": pl.datetime_range(date(2024, 1, 1), date(2024, 1, 8), "1d", eager=True, time_zone="UTC"),
        "flag": [True, False] * 4,
        "empty": pl.Series([None] * 8, dtype=pl.Float64),
        "blank": pl.Series([None] * 8, dtype=pl.String),
    },
    schema_overrides={"time": pl.Datetime("us", "UTC")},
)
EDGES = [
    one("column_values_to_not_be_null", column="number"),
    one("column_values_to_not_be_null", column="number", mostly=6 / 8),
    one("column_values_to_not_be_null", column="number", mostly=0.7500000000000001),
    one("column_values_to_be_between", column="number", min_value=0),
    one("column_values_to_be_between", column="number", min_value=0, strict_min=True, mostly=0.5),
    one("column_values_to_be_between", column="whole", max_value=3.0, strict_max=True),
    one("column_values_to_be_between", column="gaps", max_value=9007199254740992),
    one("column_values_to_be_between", column="day", min_value="2024-01-02"),
    one("column_values_to_be_between", column="day", min_value="2024-01-02", strict_min=True),
    one("column_values_to_be_between", column="time", min_value="2024-01-02T00:00:00", strict_min=True),
    one("column_values_to_be_in_set", column="number", value_set=[0, 1, 2, None]),
    one("column_values_to_be_in_set", column="gaps", value_set=[1, 3, "6", 7.0, 6.5]),
    one("column_values_to_be_in_set", column="whole", value_set=[1, "2", 3.0, None]),
    one("column_values_to_be_in_set", column="text", value_set=["a", 1, None, True]),
    one("column_values_to_be_in_set", column="day", value_set=["2024-01-01", 5]),
    one("column_values_to_be_in_set", column="flag", value_set=[True, "x", None]),
    one("column_values_to_be_in_set", column="blank", value_set=[]),
    one("column_values_to_be_in_set", column="text", value_set=[]),
    one("column_values_to_be_unique", column="number"),
    one("column_values_to_be_unique", column="gaps"),
    one("column_values_to_be_unique", column="holes"),
    one("column_values_to_be_unique", column="empty"),
    one("column_values_to_be_increasing", column="number", strictly=True),
    one("column_values_to_be_increasing", column="whole"),
    one("column_values_to_be_increasing", column="time", strictly=True),
    one("column_values_to_be_decreasing", column="gaps"),
    one("column_values_to_match_regex", column="text", regex="^a$"),
    one("column_values_to_match_regex", column="text", regex=r"^\w+$"),
    one("column_value_lengths_to_be_between", column="text", max_value=1),
    one("column_value_lengths_to_equal", column="blank", value=1),
    *(
        one(f"column_{name}_to_be_between", column=column, min_value=0)
        for name in ("mean", "median", "min", "max", "sum", "stdev")
        for column in ("number", "whole", "gaps", "empty")
    ),
    one("column_min_to_be_between", column="day", min_value="2024-01-01"),
    one("column_max_to_be_between", column="time", max_value="2024-01-08T00:00:00", strict_max=True),
    one(
        "column_quantile_values_to_be_between",
        column="whole",
        quantile_ranges={
            "quantiles": [0, 0.05, 0.5, 0.95, 1],
            "value_ranges": [[1, 1], [None, 2], [2.99, 3.01], [8, None], [10, 10]],
        },
    ),
    one(
        "column_quantile_values_to_be_between",
        column="empty",
        quantile_ranges={"quantiles": [0.5], "value_ranges": [[None, None]]},
    ),
    one("column_unique_value_count_to_be_between", column="number", min_value=4, max_value=5),
    one("column_proportion_of_unique_values_to_be_between", column="blank", max_value=0.5),
    one("column_distinct_values_to_equal_set", column="holes", value_set=["a", "b", "c", "", "d", None]),
    one("column_distinct_values_to_be_in_set", column="whole", value_set=[1, 2.0]),
    one("column_distinct_values_to_contain_set", column="number", value_set=[0, 1, "1"]),
    one("column_most_common_value_to_be_in_set", column="whole", value_set=[2]),
    one("column_most_common_value_to_be_in_set", column="blank", value_set=["a"], ties_okay=True),
    one("compound_columns_to_be_unique", column_list=["holes", "number"], ignore_row_if="never"),
    one("compound_columns_to_be_unique", column_list=["gaps", "gaps"]),
    one("column_pair_values_a_to_be_greater_than_b", column_A="whole", column_B="number"),
    one("column_pair_values_to_be_equal", column_A="text", column_B="holes", ignore_row_if="neither"),
    one("table_columns_to_match_set", column_set=["number", "number", "other"], exact_match=False),
    one(
        "column_values_to_be_in_set",
        column="whole",
        value_set=[1],
        row_condition="whole > 99",
        condition_parser="pandas",
    ),
    one("column_mean_to_be_between", column="gaps", row_condition="gaps != 3", condition_parser="pandas"),
    one(
        "column_sum_to_be_between",
        column="whole",
        min_value=0,
        row_condition="whole > 99",
        condition_parser="pandas",
    ),
]


def test_the_edges_of_every_kind_give_great_expectations_results(tmp_path):
    FRAME.write_parquet(tmp_path / "t.parquet", row_group_size=3)
    compiled = compare(tables.table_of(FRAME, tmp_path / "t.parquet"), EDGES)
    assert {item["type"] for item in EDGES} == compiled


LEFT = [
    pytest.param(one("column_values_to_be_between", column="text", min_value=1), id="text between numbers"),
    pytest.param(
        one("column_values_to_be_between", column="time", min_value="2024-01-02"), id="time and date"
    ),
    pytest.param(
        one("column_values_to_be_in_set", column="time", value_set=["2024-01-01"]), id="times in a set"
    ),
    pytest.param(one("column_values_to_be_in_set", column="flag", value_set=[1]), id="booleans and numbers"),
    pytest.param(one("column_mean_to_be_between", column="flag", min_value=0), id="mean of booleans"),
    pytest.param(one("column_values_to_match_regex", column="whole", regex="1"), id="numbers as text"),
    pytest.param(one("column_values_to_match_regex", column="text", regex="("), id="no pattern"),
    pytest.param(one("column_values_to_be_of_type", column="text", type_="Fancy"), id="unknown type"),
    pytest.param(one("column_values_to_not_be_null", column="zz"), id="no such column"),
    pytest.param(
        one(
            "column_values_to_be_null",
            column="empty",
            row_condition="whole + 1 > 3",
            condition_parser="pandas",
        ),
        id="a query that only pandas reads",
    ),
]


@pytest.mark.parametrize("item", LEFT)
def test_what_great_expectations_has_rules_of_its_own_for_is_left_to_it(item, tmp_path):
    FRAME.write_parquet(tmp_path / "t.parquet")
    table = tables.table_of(FRAME, tmp_path / "t.parquet")
    found = plans.run(expectations.read([item]), table)
    assert [left.type for left in found.left] == [item["type"]]


def test_every_kind_with_arguments_has_a_compiler():
    assert set(expectations.ARGUMENTS) == set(plans.COMPILERS) == set(suites.KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "whole > 3 & gaps > 2",
        "`whole` > 3 and text == 'a`b`'",
        "index > 3",
        "whole > @limit",
        "whole + 1 > 3",
        "text.str.len() > 1",
        "whole > gaps",
    ],
)
def test_queries_that_python_and_pandas_read_otherwise_are_left_to_pandas(text):
    _, condition = conditions.read(text, "pandas")
    assert condition is not None
    assert condition.tree is None


@pytest.mark.parametrize(
    "text", ['col("a") > 2 and col("b") > 3', 'col("a") == " b"', 'col("a") == date("2024-01-01")', "a > 2"]
)
def test_conditions_that_are_not_plainly_right_are_left_to_great_expectations_parser(text):
    with pytest.raises(conditions.Unsure):
        conditions.read(text, "great_expectations")


def test_a_damaged_table_is_an_error_of_the_data(tmp_path):
    from pilotage.core import errors

    path = tmp_path / "t.parquet"
    FRAME.write_parquet(path)
    table = tables.table_of(FRAME, path)
    path.write_bytes(b"PAR1" + bytes(50) + path.read_bytes()[54:])
    with pytest.raises(errors.DataError, match="cannot be read"):
        validations.run_on(table, suite_of(one("column_values_to_be_between", column="number", min_value=0)))


def suite_of(*items: dict[str, Any]) -> dict[str, Any]:
    return {"name": "own", "expectations": list(items)}


def test_results_of_both_engines_are_one_result_in_great_expectations_order(tmp_path):
    FRAME.write_parquet(tmp_path / "t.parquet")
    table = tables.table_of(FRAME, tmp_path / "t.parquet")
    items = [
        one("column_values_to_be_unique", column="whole"),
        one("column_value_z_scores_to_be_less_than", column="gaps", threshold=3, double_sided=True),
        one("table_row_count_to_equal", value=8),
        one("column_values_to_not_be_null", column="zz"),
        one("column_max_to_be_between", column="whole", max_value=10),
    ]
    result = validations.run_on(table, suite_of(*items)).result
    kinds = [item["expectation_config"]["type"].removeprefix("expect_") for item in result["results"]]
    assert kinds == [
        "column_values_to_not_be_null",
        "column_values_to_be_unique",
        "column_max_to_be_between",
        "column_value_z_scores_to_be_less_than",
        "table_row_count_to_equal",
    ]
    assert result["statistics"]["successful_expectations"] == 3
    assert all(
        item["expectation_config"]["kwargs"]["batch_id"] == "snapshot-trial" for item in result["results"]
    )
    assert all(item["expectation_config"]["meta"] == {} for item in result["results"])
    info = result["results"][0]["exception_info"]
    assert 'The column "zz" in BatchData does not exist' in str(info)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_great_expectations_own_objects_come_back_and_its_pages_render(tmp_path):
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    FRAME.write_parquet(tmp_path / "t.parquet")
    table = tables.table_of(FRAME, tmp_path / "t.parquet")
    result = json.loads(json.dumps(validations.run_on(table, suite_of(*EDGES)).result))
    found: Any = results.to_great_expectations(result)
    assert found.to_json_dict() == result
    found.meta["run_id"] = {"run_name": "one", "run_time": "2026-01-01T00:00:00+00:00"}
    view: Any = DefaultJinjaPageView()
    page = view.render(ValidationResultsPageRenderer(run_info_at_end=True).render(found))
    assert "values must not be null" in page


@pytest.mark.parametrize("chunk", range(4))
def test_translated_classes_mean_what_they_mean_in_python(chunk):
    """All code points, but for those that one side's version of Unicode does not know yet."""
    import re
    import unicodedata

    from pilotage.components.validation import patterns

    span = range(chunk * 0x1000, (chunk + 1) * 0x1000)
    letters = [chr(code) for code in span if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    for pattern in (r"\w", r"\d", r"\s", r"[^\w]", r"[\s_]", "."):
        rust = patterns.translate(pattern)
        assert rust is not None
        found = pl.Series(letters).str.contains(rust).to_list()
        assert found == [re.search(pattern, letter) is not None for letter in letters], pattern


@pytest.mark.parametrize(
    "pattern", [r"\bA", "(?=a)", r"(a)\1", "(?i)é", "^a|b", "a++", "(?P<n>a)", "x{1000,}", "a^"]
)
def test_patterns_that_rust_reads_otherwise_are_not_translated(pattern):
    from pilotage.components.validation import patterns

    assert patterns.translate(pattern) is None


def test_a_file_is_opened_with_the_types_of_snapshots(tmp_path):
    from pilotage.components.validation import files

    (tmp_path / "t.csv").write_text("number,b,third\n1,x,2024-01-01\n,y,2024-01-02\n")
    table = files.open_table(str(tmp_path / "t.csv"), suite_of(one("column_to_exist", column="number")))
    assert [(view.name, view.type.value, view.gaps) for view in table.views] == [
        ("number", "integer", True),
        ("b", "text", True),
        ("third", "date", True),
    ]
    FRAME.write_parquet(tmp_path / "t.parquet")
    compare(files.open_table(str(tmp_path / "t.parquet"), suite_of(*EDGES)), EDGES[:12])
    assert Path(tmp_path / "t.parquet").is_file()
