"""Bad input ends in an error that names the cause and the remedy, exit 2, and never in a traceback."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.console.calls import Call, rows

GOOD = rows(60, lambda n: f"{n % 7},{'uvw'[n % 3]},{n % 2}")


def refused(call: Call, folder: Path, *said: str) -> str:
    """Check that `pilotage check` refuses the pilot with these words; returns all it said."""
    called = call("check", folder)
    assert (called.code, called.out) == (2, "")
    assert "Traceback" not in called.err
    assert [word for word in said if word not in called.err] == [], called.err
    assert len(called.err.strip().splitlines()) >= 2, "a remedy follows the message"
    return called.err


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a,b,y\n", ["has no rows"]),
        ("", ["data.csv"]),
        (rows(60, lambda n: f"{n},x,1"), ["`y`", "constant", "one class"]),
        (rows(60, lambda n: f"{n % 7},x,{n % 3}"), ["roc_auc", "two classes", "roc_auc_ovr"]),
        (rows(60, lambda n: f"{n % 7},x,{'' if n == 9 else n % 2}"), ["target `y` is missing in 1 of 60"]),
        (rows(60, lambda n: f"{'inf' if n == 9 else n},x,{n % 2}"), ["`a`", "1 infinite number"]),
        (rows(60, lambda n: f"{'word' if n == 9 else n},x,{n % 2}"), ["`a` mixes types", "'word' in row 10"]),
        (rows(60, lambda n: f"{n},x,{n % 2}", header="a,a,y"), ["two columns named `a`"]),
        (rows(5, lambda n: f"{n},x,{n % 2}"), ["5 rows", "at least 20"]),
        (rows(60, lambda n: f"1,x,{n % 2}"), ["No feature is left", "`a` is constant"]),
        (rows(60, lambda n: f"{n},x,{n + .5}"), ["numbers with fractions", "classification"]),
    ],
    ids=[
        "no rows", "no bytes", "one class", "three classes", "missing target", "infinity", "mixed types",
        "a name twice", "few rows", "no feature", "numbers as classes",
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used(
    call: Call, write: Callable[..., Path], table: str, said: list[str]
) -> None:
    refused(call, write(table), *said)


def test_a_constant_target_of_a_regression(call: Call, write: Callable[..., Path]) -> None:
    refused(call, write(rows(60, lambda n: f"{n},x,1.5"), metric="r2"), "`y` is constant", "1.5")


def test_duplicate_keys(call: Call, write: Callable[..., Path]) -> None:
    table = rows(60, lambda n: f"{n % 50},x,{n % 2}")
    refused(call, write(table, more="  key: a\n"), "key `a` is not unique", "10 of its values repeat")


def test_a_column_that_vanished(call: Call, write: Callable[..., Path]) -> None:
    folder = write(GOOD, more="  features: {a: number, colour: category}\n")
    refused(call, folder, "`colour`", "does not have")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.parquet", b"PAR1 not really"),
        ("data.csv.gz", gzip.compress(GOOD.encode())[:40]),
        ("data.jsonl", b'{"a": 1, "y": 0}\n{"a": \n'),
        ("data.csv", b"a,b,y\n1,2\xff\xfe,3\n" * 30),
    ],
    ids=["not Parquet", "cut gzip", "broken JSON", "not UTF-8"],
)
def test_an_unreadable_file(call: Call, write: Callable[..., Path], name: str, content: bytes) -> None:
    refused(call, write(content, name=name), name)


def test_no_file(call: Call, write: Callable[..., Path]) -> None:
    folder = write(GOOD)
    (folder / "data.csv").unlink()
    refused(call, folder, "No file matches `data.source: data.csv`")


def test_times_that_are_none(call: Call, write: Callable[..., Path]) -> None:
    refused(call, write(GOOD, more="  time: b\n"), "`b`", "time")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\npilot: x\ngaol: {metric: r2}\n", [":3:", "`gaol`", "did you mean `goal`?"]),
        ("version: 1\npilot: Ünï\n", [":2:", "DNS-1123"]),
        ("version: 1\npilot: x\ngoal: {metric: auc}\n", ["`auc` is not a known metric", "did you mean"]),
        ("version: 2\n", [":1:", "version"]),
        ("version: 1\npilot: [\n", ["not YAML"]),
        ("", ["mapping of keys"]),
        ("version: 1\nversion: 1\n", ["given twice"]),
    ],
    ids=["unknown key", "name", "metric", "version", "no YAML", "empty", "key twice"],
)
def test_a_wrong_pilot_yaml_is_named_with_its_line(call: Call, text: str, said: list[str]) -> None:
    Path("pilot").mkdir()
    Path("pilot/pilot.yaml").write_text(text, encoding="utf-8")
    shown = refused(call, Path("pilot"), "pilot.yaml:", *said)
    assert "pilotage schema" in shown or "Check indentation" in shown
    document = call("check", "pilot", "--json").document["error"]
    assert document["type"] == "SpecError"
    assert all(problem["line"] >= 1 for problem in document["details"]["problems"])


def test_an_estimator_and_a_suite_that_are_not_there(call: Call, write: Callable[..., Path]) -> None:
    folder = write(GOOD)
    text = (folder / "pilot.yaml").read_text()
    (folder / "pilot.yaml").write_text(f"{text}train: {{estimator: mine:build}}\n")
    refused(call, folder, "`mine`")
    (folder / "pilot.yaml").write_text(f"{text}expectations: suite.json\n")
    refused(call, folder, "suite.json", "does not exist")


def test_a_misspelt_parameter_is_found_before_a_run(call: Call, write: Callable[..., Path]) -> None:
    folder = write(GOOD)
    with (folder / "pilot.yaml").open("a") as file:
        file.write("train: {estimator: hist_gradient_boosting, params: {max_leaf_node: 7}}\n")
    refused(call, folder, "max_leaf_node", "Did you mean `max_leaf_nodes`")


def test_unicode_and_wide_tables_are_fine(call: Call, write: Callable[..., Path]) -> None:
    many = range(1500)
    table = rows(
        40,
        lambda n: ",".join(["Ł ó", str(n), str(n % 5), *(str(n * c % 11) for c in many), str(n % 2)]),
        header=",".join(["größe", "城市", "ünïcode 🛫", *(f"c{number}" for number in many), "y"]),
    )
    called = call("check", write(table), "--json")
    assert called.code == 0, called.err
    assert called.document["features"]["城市"] == "number"
    assert called.document["rows"] == 40


def test_a_pilot_that_is_nowhere(call: Call) -> None:
    refused(call, Path("nowhere"), "There is no `nowhere`", "pilotage init")


def test_a_place_that_cannot_be_written_is_wrong_input(call: Call, write: Callable[..., Path]) -> None:
    called = call("run", write(GOOD), "--home", "/proc/no-home")
    assert called.code == 2
    assert "/proc/no-home" in called.err
    assert "Name a place" in called.err


def test_numbers_with_a_decimal_comma_are_told_apart_from_classes(call: Call, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a;y\n" + "".join(f"{n};{n},5\n" for n in range(60)))
    called = call("init", "comma", "--from", tmp_path / "data.csv", "--target", "y")
    assert called.code == 2
    assert 'decimal=","' in called.err
