"""Pictures: well formed, named for those who do not see them, escaped, and right where values are odd."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta

import pytest
from markupsafe import Markup

from pilotage.console.pages.figures import graphs, loops, shapes, sparklines, timelines

NAME = '<script>"&'
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def parsed(markup: Markup) -> list[ElementTree.Element]:
    """The pictures in some markup."""
    root = ElementTree.fromstring(f"<div>{markup}</div>")
    assert not root.findall(".//script")
    assert not [item for item in root.iter() if "style" in item.attrib]
    return root.findall(".//svg") if root.find(".//svg") is not None else []


def named(picture: ElementTree.Element) -> str:
    """Title and description by which a picture is known."""
    ids = picture.attrib["aria-labelledby"].split()
    return " ".join(next(item.text or "" for item in picture if item.attrib.get("id") == key) for key in ids)


@pytest.mark.parametrize(
    "values",
    [
        [1.0],
        [1.0, 1.0],
        [0.0, -5.0, 3.5],
        [None, 1.0, None, 2.0],
        [math.nan, 1.0],
        [1e12, -1e12],
        [math.inf, 2.0],
    ],
)
def test_a_sparkline_stays_in_its_frame_and_tells_what_it_shows(values: list[float | None]):
    [picture] = parsed(sparklines.spark(values, NAME, target=0.5, low=0.0))
    assert NAME in picture.attrib["aria-label"]
    for path in picture.findall("path"):
        points = path.attrib["d"].replace("M", " ").replace("L", " ").replace("H", " ").split()
        assert all(-0.2 <= float(point) <= 120.2 for point in points)
    assert "nan" not in ElementTree.tostring(picture, encoding="unicode").lower().replace(NAME.lower(), "")


@pytest.mark.parametrize("values", [[], [None, None], [math.nan]])
def test_nothing_is_drawn_of_nothing(values: list[float | None]):
    assert sparklines.spark(values, "auc") == ""


def test_gaps_are_not_bridged():
    [picture] = parsed(sparklines.spark([1.0, 2.0, None, 3.0, 4.0], "auc"))
    assert len([path for path in picture.findall("path") if path.attrib["class"] == "line"]) == 2


def nodes(*states: str) -> list[graphs.Node]:
    return [graphs.Node(f"step-{state}", state, 1.5, BEGIN, state == "cached", NAME) for state in states]


def test_a_graph_tells_each_step_in_words_in_both_forms():
    lying, standing = parsed(graphs.steps(NAME, nodes("cached", "succeeded", "running", "pending", "failed")))
    for picture in (lying, standing):
        told = named(picture)
        assert NAME in told
        assert "step-cached: cached; step-succeeded: succeeded in 1.5 s" in told
        assert "step-pending: pending; step-failed: failed in 1.5 s" in told
    assert float(lying.attrib["width"]) > float(lying.attrib["height"])
    assert float(standing.attrib["width"]) < float(standing.attrib["height"])


def test_ids_of_the_two_forms_differ():
    text = graphs.steps("run", nodes("running"))
    ids = [item.attrib["id"] for picture in parsed(text) for item in picture.iter() if "id" in item.attrib]
    assert len(ids) == len(set(ids)) == 4


def test_the_loop_links_every_part_and_names_it():
    parts = [loops.Part(f"part {n}", "running", NAME, NAME, f"/x?a={n}&b={NAME}") for n in range(6)]
    for picture in parsed(loops.loop("small", parts)):
        links = picture.findall("a")
        assert [link.attrib["aria-label"] for link in links] == [
            f"part {n}: {NAME}. {NAME}" for n in range(6)
        ]
        assert links[2].attrib["href"] == f"/x?a=2&b={NAME}"
        assert picture.attrib["role"] == "group"
        assert "part 5" in named(picture)


def level(hour: int, realized: float | None = 0.7, estimated: float | None = None) -> timelines.Level:
    start = BEGIN + hour * HOUR
    low, high = (realized - 0.01, realized + 0.01) if realized is not None else (None, None)
    return timelines.Level(start, start + HOUR, realized, low, high, estimated)


def test_a_timeline_has_a_mark_for_each_event_in_its_time_and_tells_them():
    moments = [
        timelines.Moment("Alarms", BEGIN + 2 * HOUR, "bad", NAME),
        timelines.Moment("Retrainings", BEGIN + 3 * HOUR, "good", "drift"),
        timelines.Moment("Alarms", BEGIN + 99 * HOUR, "bad", "later than all windows"),
    ]
    spans = [timelines.Span("v1", BEGIN), timelines.Span("v2", BEGIN + 2 * HOUR)]
    levels = [level(0), level(1, None, 0.6), level(2, 0.8), level(3)]
    [picture] = parsed(timelines.timeline("past", NAME, levels, spans, moments, 0.75))
    marks = [item for item in picture.iter() if item.find("title") is not None and item.tag != "svg"]
    titles = [item.findtext("title") or "" for item in marks]
    assert sum(NAME in title for title in titles) == 1
    assert sum("later" in title for title in titles) == 0
    told = named(picture)
    assert "2 versions served; 1 alarm, 1 retraining." in told
    assert "target is 0.750" in told


def test_a_timeline_without_windows_labels_or_target_is_no_error():
    assert timelines.timeline("past", "auc", [], [], [], None) == ""
    [picture] = parsed(timelines.timeline("past", "auc", [level(0, None)], [], [], None))
    assert "No labels and no estimates yet" in "".join(picture.itertext())
    assert parsed(timelines.timeline("past", "auc", [level(0)], [], [], None))


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1e9])
def test_coordinates_are_short_and_plain(value: float):
    assert "e" not in shapes.number(value)
    assert float(shapes.number(value)) == value


def test_markup_that_goes_in_is_escaped():
    assert shapes.element("g", "<b>", class_='"') == '<g class="&#34;">&lt;b&gt;</g>'
    assert shapes.element("g", shapes.element("a")) == "<g><a></a></g>"
    assert shapes.clip("abcdef", 4) == "abc…"
