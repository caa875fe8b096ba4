"""`pilotage forecast`: of given points and of a pilot, in words and as JSON, and what is wrong is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.console.calls import Call, rows

SIZES = [math.ceil(16 * 2 ** (step / 2)) for step in range(14)]


def curve(loss: Callable[[int], float]) -> str:
    return "n,error\n" + "\n".join(f"{n},{loss(n):.6f}" for n in SIZES) + "\n"


@pytest.fixture
def points() -> Callable[[str], Path]:
    def make(text: str) -> Path:
        path = Path("points.csv")
        path.write_text(text)
        return path

    return make


def test_a_curve_is_forecast_with_its_level(call: Call, points: Callable[[str], Path]):
    path = points(curve(lambda n: 0.1 + n**-0.5))
    done = call("forecast", "--points", path, "--at", "2000", "--at", "3000", "--json")
    assert done.code == 0
    found = done.document
    assert found["refused"] is None
    assert found["level"] == 0.8
    assert [round(point["n"]) for point in found["forecast"]] == [2000, 2898, 3000, 7245, 14490]
    for point in found["forecast"]:
        assert point["low"] <= point["value"] <= point["high"]
        assert point["low"] <= 0.1 + point["n"] ** -0.5 <= point["high"]


def test_a_curve_is_told_in_a_table_and_drawn(call: Call, points: Callable[[str], Path]):
    done = call("forecast", "--points", points(curve(lambda n: 0.1 + n**-0.5)), "--plot", "curve.svg")
    assert done.code == 0
    assert "interval (80%)" in done.out
    assert Path("curve.svg").read_text().startswith("<svg")


def test_an_odd_curve_is_refused_as_an_answer(call: Call, points: Callable[[str], Path]):
    path = points(curve(lambda n: 0.5 - n**-0.5))
    done = call("forecast", "--points", path, "--json")
    assert done.code == 0
    assert done.document["behaviour"] == "rising"
    assert "rises from" in done.document["refused"]
    assert done.document["forecast"] == []
    assert "No forecast: " in call("forecast", "--points", path).out


def test_a_grid_gives_the_parameters_of_its_law(call: Call, points: Callable[[str], Path]):
    grid = [(n, d) for n in (1e6, 1e7, 1e8, 1e9) for d in (1e8, 1e9, 1e10, 1e11)]
    text = "flops,n,d,loss\n" + "\n".join(
        f"{6 * n * d:g},{n:g},{d:g},{1.8 + 480 / n**0.35 + 2000 / d**0.37:.6f}" for n, d in grid
    )
    path = points(text)
    done = call("forecast", "--points", path, "--at", "1e10,1e12", "--json")
    assert done.code == 0
    assert set(done.document["parameters"]) == {"E", "A", "B", "alpha", "beta"}
    assert done.document["parameters"]["alpha"]["value"] == pytest.approx(0.35, abs=0.01)
    assert done.document["forecast"][0]["value"] == pytest.approx(
        1.8 + 480 / 1e10**0.35 + 2000 / 1e12**0.37, rel=0.02
    )
    assert "alpha" in call("forecast", "--points", path).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((), "Nothing to forecast is named", id="nothing"),
        pytest.param(("--points", "none.csv"), "There is no file `none.csv`", id="no-file"),
        pytest.param(("pilot", "--points", "points.csv"), "Both a pilot", id="both"),
        pytest.param(("--points", "points.csv", "--at", "many"), "`--at many` is no number of rows", id="at"),
        pytest.param(
            ("--points", "points.csv", "--at", "-3"), "`--at -3` is no number of rows", id="at-negative"
        ),
        pytest.param(("--points", "points.csv", "--at", "100,100"), "has data", id="at-with-data"),
        pytest.param(("--points", "bad.csv"), "Row 3 of `bad.csv` has `oops` in column `error`", id="value"),
        pytest.param(("pilot", "--at", "3,4"), "is for points with `n` and `d`", id="pilot-at-data"),
        pytest.param(("nowhere",), "nowhere", id="no-pilot"),
    ],
)
def test_what_is_wrong_is_said(call: Call, write: Callable[..., Path], arguments: tuple[str, ...], said: str):
    write("a,b,y\n1,2,0\n2,3,1\n")
    Path("points.csv").write_text(curve(lambda n: 0.1 + n**-0.5))
    Path("bad.csv").write_text("n,error\n16,0.5\n32,oops\n")
    done = call("forecast", *arguments, "--json")
    assert done.code == 2
    assert said in done.document["error"]["message"]
    assert done.document["error"]["remedy"]


def test_a_pilot_is_forecast_and_its_study_shown(call: Call, write: Callable[..., Path]):
    table = rows(
        500, lambda i: f"{i * 37 % 101},{i * 53 % 89},{int((i * 37 % 101) + (i * 53 % 89) > 95 + i % 7)}"
    )
    folder = write(table, metric="accuracy", more="train: {estimator: logistic_regression}\n")
    done = call("forecast", folder, "--repeats", "2", "--no-features", "--plot", "p.svg", "--json")
    assert done.code == 0, done.err
    assert len(done.document["answers"]) == 4
    assert done.document["kept"] == 0
    assert Path("p.svg").is_file()
    again = call("forecast", folder, "--repeats", "2", "--no-features")
    assert "What would more rows bring?" in again.out
    assert "kept from before" in again.out
    assert call("forecast", folder, "--study", "none").code == 2
