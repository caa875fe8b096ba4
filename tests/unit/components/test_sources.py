"""SQL and Python sources, remote files, and fingerprints."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import fsspec
import pytest
from tests.unit.components.tabular import columns, ingested, make_settings, make_spec, stored, write_csv

from pilotage.components import snapshots, sources
from pilotage.components.sources import functions
from pilotage.core import errors

FUNCTIONS = """
import datetime

def columns(n=40):
    day = datetime.date(2024, 1, 1)
    return {"x": [float(i) for i in range(n)], "y": ["a", "b"] * (n // 2), "at": [day] * n}

def rows(n=40):
    for i in range(n):
        yield {"x": i + 0.0, "y": "ab"[i % 2], "at": datetime.date(2024, 1, 1)}

def of_pandas():
    import pandas as pd
    return pd.DataFrame(columns())

def of_polars():
    import polars as pl
    return pl.DataFrame(columns())

def of_lazy():
    return of_polars().lazy()

def of_arrow():
    import pyarrow as pa
    return pa.table(columns())

def reader():
    return of_arrow().to_reader(max_chunksize=7)

def pieces():
    table = of_polars()
    for begin in range(0, 40, 13):
        yield table[begin : begin + 13]

def mixed():
    import pandas as pd
    return pd.DataFrame({"x": [1, "one"] * 20, "y": ["a", "b"] * 20})

def late():
    yield {"x": 1.0, "y": "a"}
    raise RuntimeError("the pump is off")

def down():
    raise ConnectionError("nobody answers")

def leaves():
    raise SystemExit(0)

def zoned():
    import pandas as pd
    at = pd.date_range("2024-01-01 09:00", periods=40, freq="h", tz="Asia/Tokyo")
    return pd.DataFrame({"at": at, "whole": pd.array([1, None] * 20, dtype="Int64"), "y": ["a", "b"] * 20})

def nothing():
    return 7

def mark(n=40):
    return f"{n} rows"
"""


@pytest.fixture
def pilot(tmp_path):
    (tmp_path / "given.py").write_text(FUNCTIONS)
    return tmp_path


@pytest.fixture
def database(tmp_path):
    with sqlite3.connect(tmp_path / "w.db") as connection:
        connection.execute("create table t (x real, n integer, at text, y text)")
        rows = [
            (None if i % 5 == 0 else i / 2, i, f"2024-01-{i % 28 + 1:02} 10:00:00", "ab"[i % 2])
            for i in range(99)
        ]
        connection.executemany("insert into t values (?, ?, ?, ?)", rows)
    connection.close()
    return tmp_path


FORMS = ["columns", "rows", "of_pandas", "of_polars", "of_lazy", "of_arrow", "reader", "pieces"]


def test_every_form_that_a_function_may_give_is_the_same_data(pilot):
    digests = {ingested(pilot, {"python": f"given:{form}"}, exclude=["at"]).digest for form in FORMS}
    assert len(digests) == 1


def test_pandas_times_with_a_zone_and_integers_with_gaps_are_kept(pilot):
    snapshot = ingested(pilot, {"python": "given:zoned"}, time="at")
    assert stored(snapshot, "whole").type.value == "integer"
    assert stored(snapshot, "whole").nulls == 20
    assert snapshot.time_range is not None
    assert snapshot.time_range[0] == datetime(2024, 1, 1, tzinfo=UTC)


def test_arguments_reach_the_function(pilot):
    snapshot = ingested(pilot, {"python": "given:rows", "args": {"n": 24}}, exclude=["at"])
    assert snapshot.rows == 24
    assert snapshot.source == "given:rows(n=24)"


@pytest.mark.parametrize(
    ("target", "kind", "words"),
    [
        ("given:row", errors.SourceError, "did you mean `rows`"),
        ("gone:rows", errors.SourceError, "no module `gone`"),
        ("given:late", errors.SourceError, "RuntimeError: the pump is off"),
        ("given:down", errors.Unavailable, "nobody answers"),
        ("given:leaves", errors.SourceError, "SystemExit"),
        ("given:nothing", errors.SourceError, "no table"),
        ("given:mixed", errors.DataError, "mixes types"),
    ],
)
def test_a_function_that_fails_is_named(pilot, target, kind, words):
    with pytest.raises(kind, match=words):
        ingested(pilot, {"python": target})


def test_modules_of_the_same_name_in_two_pilots_do_not_mix(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "samename.py").write_text(f"def who():\n    return {name!r}\n")
    assert [functions.call("samename:who", tmp_path / name, {}) for name in ("one", "two", "one")] == [
        "one",
        "two",
        "one",
    ]


def test_a_query_is_read_with_its_types(database):
    snapshot = ingested(database, {"sql": "select * from t order by n", "url": "sqlite:///w.db"}, key="n")
    assert {column.name: column.type.value for column in snapshot.columns} == {
        "x": "number",
        "n": "integer",
        "at": "datetime",
        "y": "text",
    }
    assert snapshot.rows == 99
    assert stored(snapshot, "x").nulls == 20


def test_the_url_may_come_from_the_environment_and_its_password_stays_hidden(database, monkeypatch):
    source = {"sql": "select * from t", "url": "env:WAREHOUSE"}
    with pytest.raises(errors.SourceError, match="`WAREHOUSE`, which is not set"):
        ingested(database, source)
    monkeypatch.setenv("WAREHOUSE", f"sqlite:///{database / 'w.db'}")
    assert "w.db" in ingested(database, source).source
    monkeypatch.setenv("WAREHOUSE", "postgresql+nodriver://me:secret@localhost/db")
    with pytest.raises(errors.SourceError) as raised:
        ingested(database, source)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param({"sql": "select nope from t", "url": "sqlite:///w.db"}, "nope", id="query"),
        pytest.param({"sql": "select x, x from t", "url": "sqlite:///w.db"}, "two columns", id="names"),
        pytest.param({"sql": "select 1", "url": "sqlite:///gone.db"}, "does not exist", id="file"),
        pytest.param({"sql": "select 1", "url": "not a url"}, "SQLAlchemy URL", id="url"),
        pytest.param({"sql": "create table z (a)", "url": "sqlite:///w.db"}, "SELECT", id="no rows"),
        pytest.param({"sql": "select * from t where 0", "url": "sqlite:///w.db"}, "no rows", id="empty"),
    ],
)
def test_a_query_that_fails_is_named(database, source, words):
    with pytest.raises(errors.InputError, match=words):
        ingested(database, source)
    assert not (database / "gone.db").exists()


def test_files_in_an_object_store_are_read(tmp_path):
    write_csv(tmp_path / "t.csv", columns())
    store = fsspec.filesystem("memory")
    store.pipe_file("/bucket/t.csv", (tmp_path / "t.csv").read_bytes())
    try:
        remote = ingested(tmp_path, "memory://bucket/*.csv")
    finally:
        store.rm("/bucket", recursive=True)
    assert remote.digest == ingested(tmp_path, "t.csv").digest


def test_json_lines_may_lack_columns(tmp_path):
    rows = [{"x": i, "y": "ab"[i % 2], **({"z": i} if i > 30 else {})} for i in range(50)]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    snapshot = ingested(tmp_path, "t.jsonl")
    assert stored(snapshot, "z").nulls == 31
    assert snapshots.read_table(make_settings(tmp_path), snapshot, ["z"]).column(0)[-1].as_py() == 49


def test_a_fingerprint_of_files_follows_names_and_contents(tmp_path):
    write_csv(tmp_path / "d/a.csv", columns())
    spec = make_spec("d/*.csv")
    first = sources.fingerprint(spec, tmp_path)
    assert sources.fingerprint(spec, tmp_path) == first
    write_csv(tmp_path / "d/b.csv", columns())
    second = sources.fingerprint(spec, tmp_path)
    (tmp_path / "d/b.csv").write_text("changed")
    assert len({first, second, sources.fingerprint(spec, tmp_path)}) == 3


def test_a_fingerprint_of_a_function_follows_arguments_answer_and_code(pilot):
    source = {"python": "given:rows", "fingerprint": "given:mark"}
    found = {sources.fingerprint(make_spec({**source, "args": {"n": n}}), pilot) for n in (1, 2, 2)}
    (pilot / "given.py").write_text(FUNCTIONS + "\n# changed\n")
    found.add(sources.fingerprint(make_spec({**source, "args": {"n": 2}}), pilot))
    assert len(found) == 3


def test_a_fingerprint_of_a_query_follows_its_result(database):
    source = {"sql": "select * from t", "url": "sqlite:///w.db", "fingerprint": "select count(*) from t"}
    first = sources.fingerprint(make_spec(source), database)
    with sqlite3.connect(database / "w.db") as connection:
        connection.execute("delete from t where n = 3")
    connection.close()
    assert sources.fingerprint(make_spec(source), database) != first


@pytest.mark.parametrize("source", [{"python": "given:rows"}, {"sql": "select 1", "url": "sqlite:///w.db"}])
def test_a_source_that_cannot_tell_has_no_fingerprint(pilot, source):
    assert sources.fingerprint(make_spec(source), pilot) is None


def test_fingerprints_load_no_table_library():
    code = (
        "import sys, pilotage.components.sources as s\n"
        "heavy = {'polars', 'pandas', 'pyarrow', 'sqlalchemy', 'great_expectations'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
