"""Files of points: read as they are meant, and refused by row, column and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.components.forecasts import points
from pilotage.core import errors


def test_a_curve_is_read_whatever_the_order_of_its_columns():
    found = points.parse("\ufeff Error , other,N\n0.5,x,16\n\n0.4,y,32\n".replace("\ufeff", ""))
    assert found.n.tolist() == [16, 32]
    assert found.loss.tolist() == [0.5, 0.4]
    assert (found.d, found.stderr, found.name) == (None, None, "error")


def test_a_grid_is_read_with_its_data(tmp_path: Path):
    path = tmp_path / "grid.csv"
    path.write_text("n,d,loss,stderr\n1e6,1e9,3.5,0.01\n", encoding="utf-8-sig")
    found = points.read(path)
    assert found.d is not None
    assert found.stderr is not None
    assert (found.n[0], found.d[0], found.loss[0], found.stderr[0], found.name) == (
        1e6,
        1e9,
        3.5,
        0.01,
        "loss",
    )


def test_a_standard_error_that_is_not_known_is_a_typical_one():
    found = points.parse("n,error,stderr\n16,0.5,\n32,0.4,0.02\n64,0.3,NaN\n128,0.25,0.04\n").stderr
    assert found is not None
    assert found.tolist() == pytest.approx([0.03, 0.02, 0.03, 0.04])
    assert points.parse("n,error,stderr\n16,0.5,\n32,0.4, \n").stderr is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("n,error\n16,nan\n", "Row 2 of `f.csv` has `nan` in column `error`", id="nan"),
        pytest.param("n,error\n16,0.5\n-32,0.4\n", "Row 3 of `f.csv` has `-32` in column `n`", id="negative"),
        pytest.param("n,error\n0,0.5\n", "Row 2 of `f.csv` has `0` in column `n`", id="zero"),
        pytest.param("n,error\n16,much\n", "`much` in column `error`; expected a number", id="text"),
        pytest.param("n,error\n16,inf\n", "`inf` in column `error`", id="infinite"),
        pytest.param("n,error\n16,-0.1\n", "`-0.1` in column `error`", id="negative-error"),
        pytest.param("n,error,stderr\n16,0.1,-1\n", "`-1` in column `stderr`", id="negative-stderr"),
        pytest.param("n,error\n16,\n", "`` in column `error`", id="empty"),
        pytest.param("n,d,loss\n16,,2\n", "`` in column `d`", id="empty-d"),
        pytest.param("n,error\n16\n", "Row 2 of `f.csv` has 1 values; the header has 2", id="ragged"),
        pytest.param("size,error\n16,0.5\n", "no column `n`; its columns are `size`, `error`", id="no-n"),
        pytest.param("n,accuracy\n16,0.5\n", "no column `error`", id="no-error"),
        pytest.param("n,error,loss\n16,0.5,0.5\n", "a column `loss` and a column `error`", id="both"),
        pytest.param("n,n,error\n16,16,0.5\n", "column `n` more than once", id="twice"),
        pytest.param("n,error\n", "has no points", id="no-rows"),
        pytest.param("", "no column `n`; its columns are none", id="nothing"),
        pytest.param('n,error\n"16,0.5\n', "is not CSV", id="quote"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str):
    with pytest.raises(errors.DataError) as raised:
        points.parse(text, "f.csv")
    assert said in raised.value.message
    assert raised.value.remedy


def test_what_is_no_file_or_no_text_is_named(tmp_path: Path):
    with pytest.raises(errors.NotFound, match="no file"):
        points.read(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"n,error\n\xff\xfe")
    with pytest.raises(errors.DataError, match="not text in UTF-8"):
        points.read(tmp_path / "b.csv")
    with pytest.raises(errors.DataError, match="cannot be read"):
        points.read(tmp_path)


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(points, "MOST_ROWS", 2)
    with pytest.raises(errors.DataError, match="more than 2 rows"):
        points.parse("n,error\n1,1\n2,1\n3,1\n")
