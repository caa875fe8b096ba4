"""Whole tables scored with versions in a real registry: what comes out, what a stop and a bad row leave."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.serving import small_models

from pilotage.components import __main__ as image
from pilotage.components import score as step
from pilotage.core import errors, features, settings
from pilotage.core.artifacts import Scores
from pilotage.core.metrics import Task
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.pipelines.execution import scorings

PARTS = 500
"""Rows of a part in these tests."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation with two versions of a classifier, the second champion."""
    installation = settings.load(home=tmp_path_factory.mktemp("installation"))
    for seed in (1, 2):
        version = small_models.register(installation, small_models.predictor(seed=seed))
    Registry(installation).promote(small_models.NAME, version)
    return installation


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "PART_ROWS", PARTS)


def given(rows: int = 1800, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as they come, with an unseen category, missing values and a column of no use."""
    made = small_models.rows(rows, seed)
    for place, row in enumerate(made):
        row["carrier"] = None if place % 11 == 0 else "new" if place % 13 == 0 else row["carrier"]
        row["bought"] = None if place % 17 == 0 else row["bought"]
        row["remark"] = "x" * (place % 5)
    return made


def to_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = [",".join(rows[0])]
    for row in rows:
        cells = ("" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in row.values())
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def to_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    times = [None if row["bought"] is None else datetime.fromisoformat(row["bought"]) for row in rows]
    table = pa.Table.from_pylist(rows)
    column = pa.array(times, pa.timestamp("us", tz="UTC"))
    pq.write_table(table.set_column(table.schema.get_field_index("bought"), "bought", column), path)
    return path


def scored(store: Settings, source: str, target: Path, **options: Any) -> Scores:
    return step.score(small_models.NAME, store, source, target, folder=target.parent, **options)


def test_the_outcome_is_what_the_model_says_of_each_row_in_order(store: Settings, tmp_path: Path) -> None:
    rows = given()
    to_csv(tmp_path / "rows.csv", rows)
    found = scored(store, "rows.csv", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    wanted = small_models.predictor(seed=2).predict(features.from_rows(small_models.FEATURES, rows))
    assert found.columns == ("flight", "prediction", "score", "version")
    assert (found.rows, found.resumed, found.version, found.key) == (1800, 0, 2, "flight")
    assert table["flight"].to_pylist() == [row["flight"] for row in rows]
    assert table["prediction"].to_pylist() == wanted.predictions.tolist()
    assert table["score"].to_pylist() == pytest.approx(wanted.score.tolist(), rel=1e-12)
    assert set(table["version"].to_pylist()) == {2}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == [
        "out.parquet",
        "rows.csv",
    ]


def test_csv_parquet_compressed_and_divided_tables_give_the_same_bytes(
    store: Settings, tmp_path: Path
) -> None:
    rows = given()
    whole = to_csv(tmp_path / "rows.csv", rows)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(whole.read_bytes()))
    to_parquet(tmp_path / "rows.parquet", rows)
    for number, (begin, end) in enumerate([(0, 1), (1, 777), (777, 1800)]):
        to_csv(tmp_path / f"divided-{number}.csv", rows[begin:end])
    digests = {
        scored(store, source, tmp_path / "out.parquet", threads=threads).sha256
        for source in ("rows.csv", "rows.csv.gz", "rows.parquet", "divided-*.csv")
        for threads in (1, 3)
    }
    assert len(digests) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from pilotage.components import __main__ as image
from pilotage.components import score as step
from pilotage.core import settings
step.PART_ROWS = int(sys.argv[3])

def killed(done, total):
    if done >= 1000:
        os.kill(os.getpid(), signal.SIGKILL)

home, source = settings.load(home=sys.argv[1]), Path(sys.argv[2])
target = source.with_name("out.parquet")
step.score("flights", home, str(source), target, folder=Path("/"), on_progress=killed, threads=1)
"""


@pytest.mark.usefixtures("uncovered")
def test_what_was_killed_goes_on_where_it_was_to_the_same_bytes(store: Settings, tmp_path: Path) -> None:
    source = to_csv(tmp_path / "rows.csv", given(3000))
    whole = scored(store, str(source), tmp_path / "whole.parquet")
    words = [sys.executable, "-c", KILLED, str(store.home), str(source), str(PARTS)]
    done = subprocess.run(words, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "out.parquet").exists()
    (tmp_path / ".out.parquet.parts" / "00000005-000000.draft").write_bytes(b"half of a part")
    again = scored(store, str(source), tmp_path / "out.parquet")
    assert 1000 <= again.resumed < 3000
    assert again.sha256 == whole.sha256
    assert not (tmp_path / ".out.parquet.parts").exists()


def test_a_wrong_value_is_told_by_file_row_and_column_and_what_is_done_stays(
    store: Settings, tmp_path: Path
) -> None:
    rows = given(1600)
    to_csv(tmp_path / "a.csv", rows[:800])
    wrong = [dict(row) for row in rows[800:]]
    wrong[701]["distance"] = "far"
    to_csv(tmp_path / "b.csv", wrong)
    with pytest.raises(errors.DataError) as caught:
        scored(store, "?.csv", tmp_path / "out.parquet", threads=1)
    assert caught.value.message == (
        "Row 702 of `b.csv` has 'far' in column `distance`, expected a finite number or null."
    )
    assert caught.value.details == {"file": "`b.csv`", "row": 702, "column": "distance"}
    assert not (tmp_path / "out.parquet").exists()
    to_csv(tmp_path / "b.csv", rows[800:])
    again = scored(store, "?.csv", tmp_path / "out.parquet")
    assert again.resumed == PARTS  # of the file that did not change
    to_csv(tmp_path / "all.csv", rows)
    assert again.sha256 == scored(store, "all.csv", tmp_path / "all.parquet").sha256


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("distance", "1e999", "a finite number or null"),
        ("holiday", "2", "true, false or null"),
        ("holiday", "perhaps", "true, false or null"),
        ("bought", "2026-13-01", "an ISO 8601 date or time, or null"),
    ],
)
def test_every_kind_of_wrong_value_is_refused(
    store: Settings, tmp_path: Path, column: str, value: str, expected: str
) -> None:
    rows = given(30)
    rows[12][column] = value
    to_csv(tmp_path / "rows.csv", rows)
    with pytest.raises(errors.DataError, match=f"Row 13 of `rows.csv` has .* in column `{column}`") as caught:
        scored(store, "rows.csv", tmp_path / "out.parquet")
    assert expected in caught.value.message


def test_a_column_that_is_missing_is_named_with_the_nearest(store: Settings, tmp_path: Path) -> None:
    rows = [{("Distance" if name == "distance" else name): v for name, v in row.items()} for row in given(9)]
    to_csv(tmp_path / "rows.csv", rows)
    with pytest.raises(errors.DataError, match=r"`rows.csv` has no column `distance`.*Rename `Distance`"):
        scored(store, "rows.csv", tmp_path / "out.parquet")


def test_a_parquet_column_of_another_type_is_refused(store: Settings, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(given(9))
    lists = pa.array([[1]] * 9)
    pq.write_table(table.set_column(0, "distance", lists), tmp_path / "rows.parquet")
    with pytest.raises(errors.DataError, match=r"Column `distance` of `rows.parquet` is of type list"):
        scored(store, "rows.parquet", tmp_path / "out.parquet")


def test_another_version_does_not_take_up_the_parts_of_the_first(store: Settings, tmp_path: Path) -> None:
    to_csv(tmp_path / "rows.csv", given(1800))

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored(store, "rows.csv", tmp_path / "out.parquet", on_progress=stop)
    found = scored(store, "rows.csv", tmp_path / "out.parquet", version=1)
    assert (found.resumed, found.version) == (0, 1)
    assert set(pq.read_table(tmp_path / "out.parquet")["version"].to_pylist()) == {1}


def test_two_at_once_into_one_file_are_one_too_many(store: Settings, tmp_path: Path) -> None:
    to_csv(tmp_path / "rows.csv", given(1200))
    refused: list[errors.Failure] = []

    def meanwhile(done: int, total: int | None) -> None:
        if not refused:
            with pytest.raises(errors.Failure, match="Another process is scoring") as caught:
                scored(store, "rows.csv", tmp_path / "out.parquet")
            refused.append(caught.value)

    assert scored(store, "rows.csv", tmp_path / "out.parquet", on_progress=meanwhile).rows == 1200
    assert refused


def test_a_table_without_rows_gives_one_without_rows(store: Settings, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("distance,carrier,holiday,bought\n")
    found = scored(store, "rows.csv", tmp_path / "out.parquet")
    assert (found.rows, found.key) == (0, None)
    assert pq.read_table(tmp_path / "out.parquet").schema.names == ["prediction", "score", "version"]


def test_a_table_without_keys_is_scored_without(store: Settings, tmp_path: Path) -> None:
    rows = [{name: v for name, v in row.items() if name != "flight"} for row in given(20)]
    to_csv(tmp_path / "rows.csv", rows)
    assert scored(store, "rows.csv", tmp_path / "out.parquet").columns == ("prediction", "score", "version")


def test_progress_ends_at_the_number_of_rows(store: Settings, tmp_path: Path) -> None:
    to_parquet(tmp_path / "rows.parquet", given(1300))
    told: list[tuple[int, int | None]] = []
    scored(store, "rows.parquet", tmp_path / "out.parquet", on_progress=lambda *now: told.append(now))
    assert told == [(500, 1300), (1000, 1300), (1300, 1300)]


def test_numbers_are_predicted_as_numbers(tmp_path: Path) -> None:
    installation = settings.load(home=tmp_path / "other")
    small_models.register(installation, small_models.predictor(Task.REGRESSION))
    to_csv(tmp_path / "rows.csv", given(40))
    with pytest.raises(errors.NotFound, match="has no champion"):
        scored(installation, "rows.csv", tmp_path / "out.parquet")
    found = scored(installation, "rows.csv", tmp_path / "out.parquet", version=1)
    assert found.columns == ("flight", "prediction", "version")
    wanted = small_models.predictor(Task.REGRESSION).predict(
        features.from_rows(small_models.FEATURES, given(40))
    )
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["prediction"].to_pylist() == pytest.approx(wanted.predictions.tolist(), rel=1e-12)


@pytest.mark.usefixtures("uncovered")
def test_the_command_prints_one_document_and_ends_with_two_on_wrong_input(
    store: Settings, tmp_path: Path
) -> None:
    rows = given(20)
    to_csv(tmp_path / "rows.csv", rows)
    rows[3]["distance"] = "far"
    to_csv(tmp_path / "wrong.csv", rows)

    def called(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pilotage.console", "score", small_models.NAME, *words, "--json"]
        environment = {**os.environ, "PILOTAGE_HOME": str(store.home)}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path, env=environment
        )

    good = called("rows.csv", "new/out.parquet")
    assert good.returncode == 0, good.stderr
    document = json.loads(good.stdout)
    assert (document["rows"], document["version"]) == (20, 2)
    assert Path(document["file"]) == tmp_path / "new" / "out.parquet"
    bad = called("wrong.csv", "out.parquet")
    assert bad.returncode == 2
    assert json.loads(bad.stdout)["error"]["details"]["row"] == 4
    assert called("rows.csv", "out.csv").returncode == 2
    none = called("nothing-*.csv", "out.parquet")
    assert none.returncode == 2
    assert "`INPUT: nothing-*.csv`" in none.stdout
    assert "pilot.yaml" not in none.stdout


@pytest.mark.usefixtures("uncovered")
def test_the_pipeline_gives_what_the_command_gives(store: Settings, tmp_path: Path) -> None:
    source = to_csv(tmp_path / "rows.csv", given(600))
    pilot = small_models.pilot(tmp_path / "pilot")
    found = scorings.run(pilot.spec, pilot.folder, store, str(source))
    alone = scored(store, str(source), tmp_path / "out.parquet")
    assert pq.read_table(found.file) == pq.read_table(alone.file)
    assert found.created_at <= datetime.now(UTC)
    (tmp_path / "rows.csv").write_text("distance\n1\n")
    with pytest.raises(errors.DataError, match="has no column `carrier`"):
        scorings.run(pilot.spec, pilot.folder, store, str(source))


def test_a_version_that_is_not_signed_does_not_score_where_signatures_are_asked_for(
    store: Settings, tmp_path: Path
) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    file = tmp_path / "public.pem"
    file.write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    to_csv(tmp_path / "rows.csv", given(9))
    strict = store.model_copy(update={"verify_key_file": file})
    with pytest.raises(errors.UntrustedModel, match="is not signed"):
        scored(strict, "rows.csv", tmp_path / "out.parquet")


def test_the_step_of_the_image_scores_and_prints_its_metadata(
    store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = to_csv(tmp_path / "rows.csv", given(600))
    pilot = small_models.pilot(tmp_path / "pilot")
    monkeypatch.setenv("PILOTAGE_HOME", str(store.home))
    words = ["score", "--pilot", str(pilot.folder), "--source", str(source), "--out", str(tmp_path / "out")]
    before = sorted((store.home / "scoring").glob("*"))
    assert image.main([*words, "--version", "1"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["rows"], document["version"]) == (600, 1)
    assert Scores.read(tmp_path / "out").sha256 == document["digest"]
    assert pq.read_metadata(document["file"]).num_rows == 600
    assert sorted((store.home / "scoring").glob("*")) == before, "parts are left behind"
    assert image.main([*words, "--version", "9"]) == 2
