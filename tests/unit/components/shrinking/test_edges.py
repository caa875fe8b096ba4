"""Edge bundles where only onnxruntime is: the form's answers, whatever rows come, and no damaged bundle."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tests.unit.components.shrinking import edges
from tests.unit.components.shrinking.edges import Made

from pilotage.components.shrinking.edge import bundles
from pilotage.core import errors, features
from pilotage.core.forms import FormPredictor
from pilotage.core.specs.protections import Personal

ROW = {"weight": 2.5, "fragile": True, "route": "A", "sent_at": "2026-03-01T10:00:00"}


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with onnxruntime alone."""
    made = edges.environment(tmp_path_factory.mktemp("empty") / "venv")
    asked = (
        "import importlib.util, sys; print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    )
    found = subprocess.run([str(made), "-I", "-c", asked, *edges.ABSENT], capture_output=True, check=True)
    assert found.stdout.decode().strip() == "[]"
    return made


@pytest.fixture(scope="session", params=["trees", "linear"])
def made(request: pytest.FixtureRequest) -> Made:
    return edges.fit(linear=request.param == "linear")


@pytest.fixture(scope="session")
def trees() -> Made:
    return edges.fit(linear=False)


@pytest.fixture
def bundle(trees: Made, tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "edge", trees.form, trees.graph, trees.model, "7")


def told(made: Made, rows: list[dict[str, Any]]) -> Any:
    return FormPredictor(made.form, made.graph, made.model).predict(features.from_rows(edges.FEATURES, rows))


def test_it_answers_as_the_form_does_where_nothing_but_onnxruntime_is(
    made: Made, python: Path, tmp_path: Path
) -> None:
    place = bundles.write(tmp_path / "edge", made.form, made.graph, made.model, "7")
    rows = [*edges.rows(1200, seed=5), dict.fromkeys(ROW), {**ROW, "route": "never seen", "more": [1]}]
    expected = told(made, rows)
    done = edges.run(python, place, given=edges.as_lines(rows))
    assert (done.returncode, done.stderr.decode()) == (0, "")
    found = edges.answers(done)
    assert [line["row"] for line in found] == list(range(1202))
    assert [line["prediction"] for line in found] == expected.predictions.tolist()
    np.testing.assert_array_equal([line["probabilities"] for line in found], expected.probabilities)


def test_csv_with_the_columns_in_any_order_says_the_same(trees: Made, bundle: Path, python: Path) -> None:
    rows = edges.rows(50, seed=6)
    stream = io.StringIO()
    names = ["note", *reversed([item.name for item in edges.FEATURES])]
    writer = csv.DictWriter(stream, names)
    writer.writeheader()
    for row in rows:
        writer.writerow({"note": 'a "b", c', **row})
    file, out = bundle.parent / "rows.csv", bundle.parent / "out.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + stream.getvalue().encode())
    done = edges.run(python, bundle, str(file), "-o", str(out))
    assert (done.returncode, done.stdout) == (0, b"")
    found = [json.loads(line)["probabilities"] for line in out.read_text().splitlines()]
    np.testing.assert_array_equal(found, told(trees, rows).probabilities)


WRONG: list[tuple[dict[str, Any], str | None, str]] = [
    ({"weight": "heavy"}, "weight", "`weight` is 'heavy', expected a finite number or null"),
    ({"weight": True}, "weight", "`weight` is True, expected a finite number"),
    ({"weight": 1e999}, None, "`Infinity` is not JSON"),
    ({"weight": float("nan")}, None, "`NaN` is not JSON"),
    ({"fragile": "yes"}, "fragile", "expected true, false or null"),
    ({"fragile": 2}, "fragile", "`fragile` is 2"),
    ({"route": ["A"]}, "route", "expected text, a whole number"),
    ({"sent_at": "soon"}, "sent_at", "expected an ISO 8601 date or time"),
    ({"sent_at": 5}, "sent_at", "`sent_at` is 5"),
    ({"weight": 10**400}, "weight", "expected a finite number"),
]


def test_a_wrong_value_is_named_by_row_and_column_and_the_others_are_answered(
    bundle: Path, python: Path
) -> None:
    rows = [{**ROW, **change} for change, _, _ in WRONG]
    done = edges.run(python, bundle, given=edges.as_lines([ROW, *rows, ROW]))
    assert done.returncode == 2
    assert done.stderr.decode() == "10 of 12 rows were wrong and were not predicted.\n"
    first, *wrong, last = edges.answers(done)
    assert first["probabilities"] == last["probabilities"]
    assert [line["row"] for line in wrong] == list(range(1, 11))
    for line, (_, column, message) in zip(wrong, WRONG, strict=True):
        assert [item["column"] for item in line["errors"]] == [column]
        assert message in line["errors"][0]["message"]


def test_all_that_is_wrong_with_a_row_is_told(bundle: Path, python: Path) -> None:
    lines = (
        edges.as_lines([{"weight": "x", "route": "A"}]) + b'[1, 2]\n\n{"weight": \n' + b"[" * 100_000 + b"\n"
    )
    done = edges.run(python, bundle, given=lines)
    assert done.returncode == 2
    found = edges.answers(done)
    assert [item["column"] for item in found[0]["errors"]] == ["weight", "fragile", "sent_at"]
    assert "expected an object of features" in found[1]["errors"][0]["message"]
    assert all("no JSON document" in line["errors"][0]["message"] for line in found[2:])
    assert len(found) == 4


@pytest.mark.parametrize(
    ("given", "words", "message"),
    [
        (b"", (), "There are no rows"),
        (b"\n\n", (), "There are no rows"),
        (b"weight,fragile,route,sent_at\n", ("--csv",), "There are no rows"),
        (b"", ("--csv",), "The CSV has no column `weight`. Its columns are none."),
        (
            b"weight,route\n1,A\n",
            ("--csv",),
            "The CSV has no column `fragile`. Its columns are weight, route.",
        ),
        (b"\xff\xfe\x00", (), "The rows are not UTF-8"),
        (b'weight,fragile,route,sent_at\n1,true,"A\n', ("--csv",), "The CSV cannot be read"),
    ],
    ids=["nothing", "blank", "header", "no header", "column", "bytes", "quote"],
)
def test_a_file_that_cannot_be_used_is_refused_with_why(
    bundle: Path, python: Path, given: bytes, words: tuple[str, ...], message: str
) -> None:
    done = edges.run(python, bundle, *words, given=given)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_rows_of_csv_with_too_few_or_too_many_fields_and_words_for_nothing(
    bundle: Path, python: Path
) -> None:
    text = "weight,fragile,route,sent_at\n1,true,A\n1,true,A,2026-01-01,x\nnan,maybe,,\n,,,\n"
    done = edges.run(python, bundle, "--csv", given=text.encode())
    assert done.returncode == 2
    found = edges.answers(done)
    assert ["4 fields" in line["errors"][0]["message"] for line in found[:2]] == [True, True]
    assert [item["column"] for item in found[2]["errors"]] == ["weight", "fragile"]
    assert found[3]["prediction"] in edges.CLASSES


def test_a_file_that_is_not_there_fails_with_its_name(bundle: Path, python: Path) -> None:
    done = edges.run(python, bundle, "/nowhere/rows.csv")
    assert done.returncode == 1
    assert b"/nowhere/rows.csv" in done.stderr


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "schema.json", "README.md", "predict.py"])
def test_a_changed_file_is_noticed_before_anything_is_predicted(
    bundle: Path, python: Path, name: str
) -> None:
    data = bytearray((bundle / name).read_bytes())
    data += b"\n"
    (bundle / name).write_bytes(bytes(data))
    done = edges.run(python, bundle, given=edges.as_lines([ROW]))
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"`{name}` is not the file that the manifest names" in done.stderr.decode()


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "{",
        "[]",
        '{"files": {"../../etc/passwd": "0"}}',
        '{"files": {}}',
        '{"files": {"model.onnx": "0"}}',
    ],
    ids=["gone", "cut", "list", "outside", "empty", "wrong"],
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, python: Path, manifest: str | None) -> None:
    if manifest is None:
        (bundle / bundles.MANIFEST).unlink()
    else:
        (bundle / bundles.MANIFEST).write_text(manifest)
    done = edges.run(python, bundle, "--check")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_a_sound_bundle_says_so(bundle: Path, python: Path) -> None:
    done = edges.run(python, bundle, "--check")
    assert (done.returncode, done.stderr) == (0, b"5 files are those that the manifest names.\n")


def test_the_same_model_gives_the_same_zip_which_holds_what_the_folder_does(
    trees: Made, bundle: Path, tmp_path: Path
) -> None:
    first, second = (
        bundles.write(tmp_path / name, trees.form, trees.graph, trees.model, "7")
        for name in ("a.zip", "b.zip")
    )
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
        assert archive.getinfo("predict.py").external_attr >> 16 == 0o755
    assert held == {path.name: path.read_bytes() for path in bundle.iterdir()}


def test_what_is_there_is_replaced_only_if_it_is_a_bundle(trees: Made, bundle: Path, tmp_path: Path) -> None:
    (bundle / "predict.py").write_text("old")
    bundles.write(bundle, trees.form, trees.graph, trees.model, "8")
    assert json.loads((bundle / "manifest.json").read_text())["version"] == "8"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(errors.InputError, match="is no bundle"):
        bundles.write(other, trees.form, trees.graph, trees.model, "7")
    assert (other / "thesis.txt").is_file()
    with pytest.raises(errors.InputError, match="is a folder"):
        bundles.write(shutil.copytree(bundle, tmp_path / "x.zip"), trees.form, trees.graph, trees.model, "7")


def test_the_schema_takes_the_rows_that_the_script_takes(bundle: Path) -> None:
    schema = json.loads((bundle / "schema.json").read_text())
    for row in edges.rows(40, seed=8):
        jsonschema.validate(row, schema)
    assert schema["properties"]["route"]["x-categories"] == ["12", "A", "B", "Ü-7"]
    changes: list[dict[str, Any]] = [{"weight": "x"}, {"fragile": 2}, {"route": []}]
    for change in changes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**ROW, **change}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"weight": 1}, schema)


def test_a_version_whose_features_are_hashed_gets_no_bundle_that_would_answer_wrongly(trees: Made) -> None:
    hashed = trees.model.model_copy(
        update={"personal": Personal.model_validate({"columns": {"route": "hash"}})}
    )
    with pytest.raises(errors.InputError, match="`route` is personal data"):
        bundles.contents(trees.form, trees.graph, hashed, "7")
    other = trees.model.model_copy(
        update={"personal": Personal.model_validate({"columns": {"name": "hash"}})}
    )
    assert bundles.contents(trees.form, trees.graph, other, "7")
