"""Two tables beside each other: what moved is found, what did not is not, and bad files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pilotage.core import errors
from pilotage.core.specs import Drift
from pilotage.serving.monitor import tables
from pilotage.serving.monitor.reports import pages
from pilotage.serving.monitor.tables import TableDrift, open_table

NASTY = "<b>odd</b>"


def rows(n: int, seed: int, *, shift: float = 1.0) -> pa.Table:
    generator = np.random.default_rng(seed)
    return pa.table(
        {
            "distance": generator.gamma(3, 300, n) * shift,
            "count": generator.integers(0, 9, n),
            "carrier": pa.array(generator.choice(["AA", "UA", "DL"], n)).dictionary_encode(),
            "night": generator.random(n) < 0.3,
            "booked": np.datetime64("2026-01-01", "us")
            + generator.integers(0, 10**12, n) * np.timedelta64(1, "us"),
            NASTY: [["nested"]] * n,
        }
    )


def write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".csv":
        plain = table.drop_columns([NASTY])
        place = plain.schema.get_field_index("carrier")
        pyarrow.csv.write_csv(
            plain.set_column(place, "carrier", plain.column("carrier").cast("string")), path
        )
    else:
        pyarrow.parquet.write_table(table, path)
    return path


def compared(one: Path, two: Path, **limits: float) -> TableDrift:
    return tables.compare(open_table(one), open_table(two), Drift(**limits))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_only_what_moved_has_drifted(tmp_path: Path, kind: str) -> None:
    one = write(rows(20_000, 1), tmp_path / f"one.{kind}")
    two = write(rows(3000, 2, shift=1.4), tmp_path / f"two.{kind}")
    found = compared(one, two)
    assert [part.feature for part in found.drifted] == ["distance"]
    assert (found.reference_rows, found.rows) == (20_000, 3000)
    assert {part.feature for part in found.columns} == {"distance", "count", "carrier", "night", "booked"}
    assert not compared(one, write(rows(3000, 3), tmp_path / f"same.{kind}")).drifted


def test_like_tables_seem_drifted_as_rarely_as_asked(tmp_path: Path) -> None:
    one = write(rows(20_000, 1), tmp_path / "one.parquet")
    alarms = sum(
        bool(compared(one, write(rows(300, seed), tmp_path / "two.parquet"), false_alarm_rate=0.05).drifted)
        for seed in range(10, 70)
    )
    assert alarms <= 0.05 * 60 + 3 * np.sqrt(60 * 0.05 * 0.95)


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    one = write(rows(500, 1), tmp_path / "one.parquet")
    changed = rows(500, 2).drop_columns(["night"]).append_column("new", pa.array(range(500)))
    place = changed.schema.get_field_index("count")
    changed = changed.set_column(place, "count", changed.column("count").cast(pa.string()))
    found = compared(one, write(changed, tmp_path / "two.parquet"))
    assert found.left_out == {
        "count": "was int64, now is string",
        "night": "`two.parquet` has no such column",
        NASTY: "list<element: string> cannot be compared",
        "new": "`one.parquet` has no such column",
    }
    page = pages.render_tables(found)
    assert NASTY not in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "<script" not in page


def test_files_that_are_none_of_these_are_refused(tmp_path: Path) -> None:
    one = write(rows(500, 1), tmp_path / "one.parquet")
    with pytest.raises(errors.NotFound, match="no file"):
        open_table(tmp_path / "nowhere.parquet")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(errors.SourceError, match="cannot be read"):
        open_table(broken)
    other = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pa.table({"x": [1]}), other)
    with pytest.raises(errors.DataError, match="share no column"):
        compared(one, other)
    with pytest.raises(errors.DataError, match="no rows"):
        compared(one, write(rows(0, 1), tmp_path / "empty.parquet"))
