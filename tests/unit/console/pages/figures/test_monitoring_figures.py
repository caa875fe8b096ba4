"""Maps, bars and lines: the geometry says what the numbers say, and nothing that is named becomes markup."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.console.pages.figures import distributions, heatmaps, series
from pilotage.console.pages.figures.heatmaps import Cell, Column
from pilotage.console.pages.figures.series import Dot, Line

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOSTILE = '"><script>&</script>'
VALUES = st.floats(-1e9, 1e9, allow_nan=False)


def _map(columns: int = 3, name: str = "distance", drifted: int = 1) -> ElementTree.Element:
    cells = [Cell(0.3 if place == drifted else 0.01, place == drifted) for place in range(columns)]
    told = [Column(1 + place // 2, START + place * HOUR) for place in range(columns)]
    drawn = heatmaps.heatmap(told, [(name, cells)], 0.1, lambda place, name: f"?{place}&{name}", 0)
    return ElementTree.fromstring(str(drawn))


def test_every_cell_leads_to_its_window_and_says_what_it_is():
    links = list(_map().iter("a"))
    assert [link.get("href") for link in links] == ["?0&distance", "?1&distance", "?2&distance"]
    assert links[1].findtext("title") == "distance, 2026-03-02 01:00 UTC: 0.300, drifted"
    assert {link.get("tabindex") for link in links} == {"-1"}


def test_a_drift_is_told_by_a_mark_and_not_by_colour_alone():
    assert [link.find("circle") is not None for link in _map().iter("a")] == [False, True, False]


def test_a_cell_that_is_not_there_is_not_drawn():
    drawn = heatmaps.heatmap([Column(1, START)], [("a", [None])], 0.1, lambda place, name: "")
    assert "<a " not in drawn


def test_another_version_is_marked_where_it_begins():
    texts = [text.text for text in _map(4).iter("text")]
    assert {"v1", "v2"} <= set(texts)
    assert len([path for path in _map(4).iter("path") if path.get("class") == "change"]) == 1


@pytest.mark.parametrize(
    ("effect", "level"),
    [(0.0, 0), (0.024, 0), (0.025, 1), (0.05, 2), (0.0999, 2), (0.1, 3), (0.2, 4), (9, 4)],
)
def test_what_matters_begins_at_the_third_colour(effect: float, level: int):
    assert heatmaps.level(effect, 0.1) == level


def test_without_a_limit_any_effect_matters():
    assert (heatmaps.level(0.0, 0.0), heatmaps.level(0.001, 0.0)) == (0, 4)


def test_names_stay_text_everywhere():
    drawn = (
        heatmaps.heatmap([Column(1, START)], [(HOSTILE, [Cell(1, True)])], 0.1, lambda place, name: name),
        distributions.bars("k", HOSTILE, [HOSTILE], [1.0], [1.0]),
        series.chart("k", HOSTILE, [Line(HOSTILE, "first", [Dot(START, 1.0)])], target=1, named=HOSTILE),
    )
    for picture in drawn:
        assert "<script" not in picture
        ElementTree.fromstring(str(picture))


def test_bars_are_as_long_as_their_shares():
    root = ElementTree.fromstring(str(distributions.bars("k", "x", ["a", "b"], [0.2, 0.8], [0.4, 0.6])))
    widths = [float(bar.get("width", 0)) for bar in root.iter("rect")]
    assert [width / widths[2] for width in widths] == pytest.approx([0.25, 0.5, 1.0, 0.75], abs=0.01)
    assert "b: 80.0 % in the reference, 60.0 % in the window" in root.findtext("desc", "")


def test_bars_of_nothing_are_drawn_all_the_same():
    assert "There are no cells." in distributions.bars("k", "x", [], [], [])
    root = ElementTree.fromstring(str(distributions.bars("k", "x", ["a"], [0.0], [0.0])))
    assert all(float(bar.get("width", 0)) > 0 for bar in root.iter("rect"))


def _places(drawn: str, kind: str) -> list[tuple[float, float]]:
    dots = [dot for dot in ElementTree.fromstring(drawn).iter("circle") if dot.get("class") == f"dot {kind}"]
    return [(float(dot.get("cx", 0)), float(dot.get("cy", 0))) for dot in dots]


@given(values=st.lists(VALUES, min_size=2, max_size=20))
def test_greater_values_are_higher_and_later_ones_further_right(values: list[float]):
    dots = [Dot(START + place * HOUR, value) for place, value in enumerate(values)]
    places = _places(str(series.chart("k", "t", [Line("l", "first", dots)])), "first")
    across = [x for x, _ in places]
    assert across == sorted(across)
    for (_, one), (_, two), first, second in zip(places, places[1:], values, values[1:], strict=False):
        assert (one - two) * (second - first) >= -1e-9
    assert all(0 <= x <= 860 and 0 <= y <= 260 for x, y in places)


@given(least=VALUES, span=st.floats(0, 1e9))
def test_bounds_hold_the_values_and_are_little_wider(least: float, span: float):
    low, high = series.nice(least, least + span)
    assert low <= least
    assert high >= least + span
    assert low < high
    if span > 1e-6 * max(abs(least), 1):
        assert high - low <= 2.6 * span


def test_a_gap_in_what_is_known_is_no_value():
    dots = [Dot(START, 1.0), Dot(START + HOUR, math.nan), Dot(START + 2 * HOUR, 3.0)]
    drawn = series.chart("k", "t", [Line("l", "first", dots)])
    assert len(_places(str(drawn), "first")) == 2
    assert "NaN" not in re.sub(r"<desc.*?</desc>", "", str(drawn), flags=re.IGNORECASE)


def test_nothing_known_is_no_picture():
    assert series.chart("k", "t", [Line("l", "first", [])]) == ""


def test_a_lone_value_has_its_band_and_the_target_is_in_view():
    drawn = str(series.chart("k", "t", [Line("l", "first", [Dot(START, 0.5, 0.4, 0.6)])], target=0.9))
    assert 'class="band first"' in drawn
    root = ElementTree.fromstring(drawn)
    (target,) = [path for path in root.iter("path") if path.get("class") == "target"]
    level = float(target.get("d", "").split("H")[0].split()[1])
    assert 0 <= level < _places(drawn, "first")[0][1]


def test_sums_stand_on_zero_upwards_and_downwards():
    dots = [Dot(START, 5.0, 4.0, 6.0), Dot(START + HOUR, -5.0)]
    root = ElementTree.fromstring(
        str(series.chart("k", "t", [Line("l", "first", dots)], zero=True, stairs=True))
    )
    up, down = (
        (float(bar.get("y", 0)), float(bar.get("y", 0)) + float(bar.get("height", 0)))
        for bar in root.iter("rect")
    )
    assert up[1] == pytest.approx(down[0], abs=0.2)
    assert [path.get("class") for path in root.iter("path")].count("whisker") == 1
