"""`pilotage validate`: verdicts and exit codes, what it loads, memory that does not grow with the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pilotage.console.cli import build, run

PROBE = """
import json, resource, sys
from pilotage.console.cli import run
code = run(sys.argv[1:])
heavy = {"great_expectations", "pandas", "pyarrow", "scipy", "sklearn"} & set(sys.modules)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"code": code, "heavy": sorted(heavy), "peak_mb": peak}), file=sys.stderr)
"""


def one(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity}


def write_suite(folder: Path, *items: dict[str, Any]) -> str:
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": "own", "expectations": list(items)}))
    return str(path)


def write_rows(path: Path, groups: int, columns: int = 4) -> str:
    """Groups of 65,536 rows."""
    draw = np.random.default_rng(3)
    schema = pa.schema([(f"f{number}", pa.float64()) for number in range(columns)])
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(groups):
            rows = [draw.normal(size=65_536) for _ in range(columns)]
            writer.write_table(pa.table(rows, schema=schema), row_group_size=65_536)
    return str(path)


SUITE = (
    *(one("column_values_to_be_between", column=f"f{i}", min_value=-9, max_value=9) for i in range(4)),
    one("column_mean_to_be_between", column="f0", min_value=-1, max_value=1),
    one("column_stdev_to_be_between", column="f1", min_value=0.5, max_value=2),
    one("column_values_to_be_between", column="f2", min_value=0, mostly=0.1),
    one("column_pair_values_a_to_be_greater_than_b", column_A="f0", column_B="f1", mostly=0.1),
    one("table_row_count_to_be_between", min_value=1),
)


def probe(table: str, suite: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "validate", table, suite, "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.usefixtures("uncovered")
def test_a_suite_that_compiles_loads_neither_great_expectations_nor_pandas(tmp_path):
    found = probe(write_rows(tmp_path / "t.parquet", 1), write_suite(tmp_path, *SUITE))
    assert found["code"] == 0
    assert found["heavy"] == []


@pytest.mark.slow
@pytest.mark.usefixtures("uncovered")
def test_peak_memory_does_not_grow_with_the_rows(tmp_path):
    suite = write_suite(tmp_path, *SUITE)
    few = probe(write_rows(tmp_path / "few.parquet", 16), suite)
    many = probe(write_rows(tmp_path / "many.parquet", 160), suite)
    held = 160 * 65_536 * 4 * 8 / 2**20
    assert held > 300
    assert many["peak_mb"] - few["peak_mb"] < held / 4


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("colour,count\nred,1\n,2\nviolet,3\n")
    return str(path)


def test_a_critical_failure_ends_with_three_and_a_warning_with_nought(tmp_path, table):
    wrong = one("column_values_to_be_in_set", column="colour", value_set=["red"])
    assert run(["validate", table, write_suite(tmp_path, wrong)]) == 3
    assert run(["validate", table, write_suite(tmp_path, {**wrong, "severity": "warning"})]) == 0


def test_the_answer_is_one_document_and_the_result_great_expectations(tmp_path, table):
    suite = write_suite(
        tmp_path,
        one("column_values_to_not_be_null", "warning", column="colour"),
        one("column_values_to_be_of_type", column="count", type_="int64"),
    )
    output = tmp_path / "result.json"
    done = CliRunner().invoke(build(), ["validate", table, suite, "-o", str(output)], catch_exceptions=False)
    assert "1 of 2 expectations are met" in done.output
    assert "1 unexpected values (33.3 %)" in done.output
    result = json.loads(output.read_text())
    assert result["statistics"]["successful_expectations"] == 1
    assert result["suite_name"] == "own"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        pytest.param("t.parquet", "no parquet", 2, id="damaged"),
        pytest.param("t.txt", "a", 2, id="another kind of file"),
        pytest.param(None, "", 2, id="no file"),
    ],
)
def test_a_table_that_cannot_be_read_is_wrong_input(tmp_path, name, content, code):
    if name:
        (tmp_path / name).write_text(content)
    suite = write_suite(tmp_path, one("table_row_count_to_equal", value=1))
    assert run(["validate", str(tmp_path / (name or "none.csv")), suite]) == code


def test_a_suite_that_is_wrong_or_not_there_is_wrong_input(tmp_path, table, capsys):
    assert run(["validate", table, str(tmp_path / "none.json")]) == 2
    assert run(["validate", table, write_suite(tmp_path, one("magic"))]) == 2
    assert "expect_magic" in capsys.readouterr().err
