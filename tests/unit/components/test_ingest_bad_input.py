"""Input that cannot be used ends in an error of ours that names the cause and the remedy."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.components.tabular import columns, ingested, make_settings, make_spec, write_csv

from pilotage.components.ingest import ingest
from pilotage.core import errors
from pilotage.core.specs import PilotSpec


def csv(path: Path, **changed):
    return write_csv(path / "t.csv", {**columns(), **changed})


@pytest.mark.parametrize(
    ("changed", "data", "words"),
    [
        pytest.param({"y": ["a"] * 60}, {}, ["`y`", "constant", "one class"], id="one class"),
        pytest.param(
            {"y": [None, "a", "b"] * 20}, {}, ["`y`", "missing in 20 of 60"], id="nulls in the target"
        ),
        pytest.param({"y": ["a", "b"] * 29 + ["a", "c"]}, {}, ["'c'", "single row"], id="class with one row"),
        pytest.param({}, {"target": "yy"}, ["`yy`", "did you mean `y`"], id="target not there"),
        pytest.param({}, {"time": "dya"}, ["data.time", "did you mean `day`"], id="time not there"),
        pytest.param({}, {"key": "id"}, ["data.key", "`id`"], id="key not there"),
        pytest.param({}, {"features": {"siz": "number"}}, ["did you mean `size`"], id="feature not there"),
        pytest.param({}, {"exclude": ["colours"]}, ["did you mean `colour`"], id="exclude misspelt"),
        pytest.param(
            {"y": ["a", "b", "c"] * 20}, {"metric": "roc_auc"}, ["`roc_auc_ovr`"], id="three classes"
        ),
        pytest.param({}, {"metric": "r2"}, ["`y` holds text", "accuracy"], id="regression on text"),
        pytest.param(
            {"y": [i % 7 + 0.5 for i in range(60)]}, {}, ["fractions", "`r2`"], id="classes with fractions"
        ),
        pytest.param({"y": [5] * 60}, {"metric": "r2"}, ["constant"], id="constant number"),
        pytest.param({}, {"positive": "maybe"}, ["data.positive", "'no', 'yes'"], id="positive unknown"),
        pytest.param({"y": [0, 1] * 30}, {"positive": "1"}, ["positive: 1"], id="positive of another type"),
        pytest.param({"size": ["inf", "1", "2"] * 20}, {}, ["`size`", "20 infinite"], id="infinity"),
        pytest.param(
            {"y": ["1.5", "-inf"] * 30}, {"metric": "r2"}, ["`y`", "infinite"], id="infinite target"
        ),
        pytest.param({"size": [-1e308, 1, 2] * 20}, {}, ["`size`", "-1e+308", "1e+38"], id="huge numbers"),
        pytest.param({"y": ["$12", "$5"] * 30}, {"metric": "r2"}, ["text such as '$", "number"], id="money"),
        pytest.param(
            {"count": [1] * 59 + ["oops"]}, {}, ["'oops' in row 60", "`t.csv`", "category"], id="mixed"
        ),
        pytest.param(
            {"day": ["2024-01-01"] * 59 + ["soon"]}, {}, ["'soon' in row 60", "dates"], id="mixed dates"
        ),
        pytest.param({}, {"features": {"colour": "number"}}, ["'red' in row 1"], id="words pinned as number"),
        pytest.param(
            {}, {"features": {"count": "boolean"}}, ["`count`", "boolean", "2"], id="numbers as boolean"
        ),
        pytest.param(
            {"day": ["9999-12-31T23:00-05:00"] * 60}, {}, ["`day`", "years 1 to 9999"], id="late year"
        ),
        pytest.param({}, {"time": "colour"}, ["'red' in row 1", "ISO 8601"], id="time that is none"),
        pytest.param(
            {"day": [None, "2024-01-01"] * 30}, {"time": "day"}, ["missing in 30"], id="time missing"
        ),
        pytest.param(
            {}, {"key": "count"}, ["not unique", "0 (7 times)", "9 of its values"], id="duplicate keys"
        ),
        pytest.param({}, {"key": "size"}, ["key `size` is missing"], id="null keys"),
        pytest.param(
            {}, {"exclude": ["size", "count", "colour", "member", "day"]}, ["No feature"], id="no feature"
        ),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused(tmp_path, changed, data, words):
    csv(tmp_path, **changed)
    with pytest.raises(errors.DataError) as raised:
        ingested(tmp_path, "t.csv", **data)
    for word in words:
        assert word in str(raised.value)
    assert raised.value.remedy
    assert raised.value.exit_code == 2
    assert not (tmp_path / "home" / "snapshots").exists()


def test_a_gate_by_a_column_that_is_not_there_is_refused_before_training(tmp_path):
    csv(tmp_path)
    gate = {"metric": "demographic_parity_difference", "by": "color", "max": 0.2}
    spec = PilotSpec.model_validate({**make_spec("t.csv").model_dump(exclude_unset=True), "gates": [gate]})
    with pytest.raises(errors.DataError, match=r"gates\.0\.by.*did you mean `colour`"):
        ingest(spec, tmp_path, make_settings(tmp_path), tmp_path / "out")


def test_too_few_rows_are_counted(tmp_path):
    write_csv(tmp_path / "t.csv", columns(19))
    with pytest.raises(errors.DataError, match="19 rows, at least 20"):
        ingested(tmp_path, "t.csv")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b,y\n"], ids=["no byte", "empty lines", "header only"])
def test_an_empty_table_is_named(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(errors.DataError, match="has no rows"):
        ingested(tmp_path, "t.csv")


def test_too_many_classes_hint_at_regression(tmp_path):
    write_csv(tmp_path / "t.csv", {"x": [i % 5 for i in range(2400)], "y": [i % 1200 for i in range(2400)]})
    with pytest.raises(errors.DataError, match="1,200 different values"):
        ingested(tmp_path, "t.csv")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("t.parquet", b"not parquet", ["t.parquet", "cannot be read as Parquet"], id="parquet"),
        pytest.param("t.csv.gz", b"not gzip", ["t.csv.gz", "cannot be read"], id="gzip"),
        pytest.param("t.csv", b"a,y\n1,2\n1,2,3\n", ["t.csv", "Expected 2 columns"], id="ragged csv"),
        pytest.param("t.csv", b"a,y\n\xff\xfe,1\n", ["UTF-8"], id="not utf-8"),
        pytest.param("t.jsonl", b'{"a": 1}\n{"a": \n', ["line 2", "not JSON"], id="broken json"),
        pytest.param("t.jsonl", b"[1, 2]\n", ["line 1", "no object of columns, such as"], id="json array"),
        pytest.param("t.xlsx", b"", ["no known format"], id="unknown format"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.SourceError) as raised:
        ingested(tmp_path, name)
    assert all(word in str(raised.value) for word in words)
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(['{"x": 1, "y": "a"}', '{"x": "one", "y": "b"}'], ["`x`", "mixes", "row 2"], id="mixed"),
        pytest.param(
            ['{"x": 1, "y": "a"}', '{"x": true, "y": "b"}'], ["`x`", "boolean in row 2"], id="truth"
        ),
        pytest.param(['{"x": [1], "y": "a"}'], ["`x`", "list in row 1"], id="nested"),
        pytest.param([f'{{"x": {2**70}, "y": "a"}}'], ["`x`", "64 bits"], id="too large"),
    ],
)
def test_json_lines_of_mixed_kinds_name_column_and_row(tmp_path, rows, words):
    (tmp_path / "t.jsonl").write_text("\n".join(rows * 15), "utf-8")
    with pytest.raises(errors.DataError) as raised:
        ingested(tmp_path, "t.jsonl")
    assert all(word in str(raised.value) for word in words)


def test_no_file_says_where_it_looked(tmp_path):
    with pytest.raises(errors.SourceError, match="No file matches") as raised:
        ingested(tmp_path, "data/*.csv")
    assert str(tmp_path) in str(raised.value)


def test_a_folder_and_several_formats_are_refused(tmp_path):
    csv(tmp_path / "d")
    with pytest.raises(errors.SourceError, match="is a folder"):
        ingested(tmp_path, "d")
    (tmp_path / "d" / "t.jsonl").write_text("{}")
    with pytest.raises(errors.SourceError, match="several formats"):
        ingested(tmp_path, "d/*")


def test_an_unknown_scheme_is_refused(tmp_path):
    with pytest.raises(errors.SourceError, match="cannot be opened"):
        ingested(tmp_path, "nosuch://bucket/t.csv")


def test_duplicate_names_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,a,y\n" + "1,2,x\n" * 30)
    with pytest.raises(errors.DataError, match="two columns named `a`"):
        ingested(tmp_path, "t.csv")


def test_files_with_other_columns_are_refused(tmp_path):
    table = columns()
    write_csv(tmp_path / "d/1.csv", table)
    table.pop("colour")
    write_csv(tmp_path / "d/2.csv", table)
    with pytest.raises(errors.DataError, match=r"`2.csv` lacks column `colour`"):
        ingested(tmp_path, "d/*.csv")


def test_parquet_files_of_different_types_are_refused(tmp_path):
    for name, values in (("1", [1] * 30), ("2", ["a"] * 30)):
        pq.write_table(pa.table({"x": values, "y": ["a", "b"] * 15}), tmp_path / f"{name}.parquet")
    with pytest.raises(errors.DataError, match=r"mixes types: numbers in `1.parquet`, text in `2.parquet`"):
        ingested(tmp_path, "*.parquet")


def test_a_nested_column_needs_to_be_excluded(tmp_path):
    pq.write_table(
        pa.table({"x": list(range(30)), "l": [[1]] * 30, "y": ["a", "b"] * 15}), tmp_path / "t.parquet"
    )
    with pytest.raises(errors.DataError, match="`l`"):
        ingested(tmp_path, "t.parquet")
    assert ingested(tmp_path, "t.parquet", exclude=["l"]).rows == 30


def test_more_than_ten_thousand_columns_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text(
        ",".join(f"c{i}" for i in range(10_001)) + "\n" + ",".join("1" * 10_001) + "\n"
    )
    with pytest.raises(errors.DataError, match="10,001 columns"):
        ingested(tmp_path, "t.csv")
