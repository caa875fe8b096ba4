"""A pilot's performance over time, with what happened to it on lanes below.

Each kind of event has a shape of its own; a table beside the picture tells the
same in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from markupsafe import Markup

from pilotage.console.pages import words
from pilotage.console.pages.figures import shapes

WIDTH, _LEFT, _RIGHT, _TOP = 900.0, 86.0, 14.0, 10.0
_PLOT, _LANE = 170.0, 30.0


class Level(NamedTuple):
    """The metric in one span of time."""

    start: datetime
    end: datetime
    realized: float | None
    low: float | None
    high: float | None
    estimated: float | None


class Moment(NamedTuple):
    """Something that happened."""

    lane: str
    at: datetime
    colour: str
    told: str


class Span(NamedTuple):
    """A version from the moment it served."""

    label: str
    start: datetime


Place = Callable[[datetime], float]


def timeline(
    key: str,
    metric: str,
    levels: Sequence[Level],
    spans: Sequence[Span],
    moments: Sequence[Moment],
    target: float | None,
) -> Markup:
    """The picture; empty where there is no window yet."""
    if not levels:
        return Markup("")
    first, last = levels[0].start, max(level.end for level in levels)
    across = _scale(first, last)
    shown = [moment for moment in moments if first <= moment.at <= last]
    lanes = ["Version", "Alarms", "Retrainings"]
    bottom = _TOP + _PLOT + 8 + _LANE * len(lanes)
    parts = [
        *_axis(first, last, across, bottom),
        *_metric(levels, target, across),
        *_lanes(lanes),
        *_versions(spans, across, last),
        *(_mark(moment, lanes.index(moment.lane), across) for moment in shown),
    ]
    return shapes.picture(
        key, WIDTH, bottom + 26, f"{metric} over time", describe(metric, levels, spans, shown, target), *parts
    )


def describe(
    metric: str,
    levels: Sequence[Level],
    spans: Sequence[Span],
    moments: Sequence[Moment],
    target: float | None,
) -> str:
    """What the picture shows, in words."""
    known = [level.realized for level in levels if level.realized is not None]
    told = f"From {levels[0].start:%Y-%m-%d} to {levels[-1].end:%Y-%m-%d}. "
    if known:
        told += f"{metric} from labels began at {words.number(known[0])} and is {words.number(known[-1])}. "
    if target is not None:
        told += f"The target is {words.number(target)}. "
    counts = {lane: sum(moment.lane == lane for moment in moments) for lane in ("Alarms", "Retrainings")}
    told += f"{words.plural(len(spans), 'version')} served; {words.plural(counts['Alarms'], 'alarm')},"
    return told + f" {words.plural(counts['Retrainings'], 'retraining')}."


def _scale(first: datetime, last: datetime) -> Place:
    length = (last - first).total_seconds() or 1.0

    def place(moment: datetime) -> float:
        return _LEFT + (moment - first).total_seconds() / length * (WIDTH - _LEFT - _RIGHT)

    return place


def _metric(levels: Sequence[Level], target: float | None, across: Place) -> list[Markup]:
    values = [
        value
        for level in levels
        for value in (level.realized, level.low, level.high, level.estimated)
        if value is not None
    ]
    values += [target] if target is not None else []
    if not values:
        return [shapes.text(_LEFT + 12, _TOP + _PLOT / 2, "No labels and no estimates yet", class_="faint")]
    least, most = min(values), max(values)
    edge = (most - least) * 0.08 or abs(most) * 0.05 or 1.0
    least, most = least - edge, most + edge

    def up(value: float) -> float:
        return _TOP + _PLOT - (value - least) / (most - least) * _PLOT

    def middle(level: Level) -> float:
        return across(level.start + (level.end - level.start) / 2)

    parts = []
    for part in range(5):
        value = least + (most - least) * part / 4
        level = shapes.number(up(value))
        parts.append(shapes.element("path", d=f"M{_LEFT:g} {level}H{WIDTH - _RIGHT:g}", class_="rule"))
        parts.append(
            shapes.text(_LEFT - 8, up(value) + 4, words.number(value), text_anchor="end", class_="faint")
        )
    band = [level for level in levels if level.low is not None and level.high is not None]
    if len(band) > 1:
        outline = [(middle(item), up(item.high)) for item in band if item.high is not None]
        outline += [(middle(item), up(item.low)) for item in reversed(band) if item.low is not None]
        parts.append(shapes.element("path", d=shapes.path(outline) + "z", class_="area"))
    if target is not None:
        line = f"M{_LEFT:g} {shapes.number(up(target))}H{WIDTH - _RIGHT:g}"
        parts.append(shapes.element("path", d=line, class_="target"))
        parts.append(shapes.text(WIDTH - _RIGHT, up(target) - 5, "target", text_anchor="end", class_="faint"))
    estimated = [(middle(item), up(item.estimated)) for item in levels if item.estimated is not None]
    if len(estimated) > 1:
        parts.append(shapes.element("path", d=shapes.path(estimated), class_="line estimated"))
    realized = [(middle(item), up(item.realized)) for item in levels if item.realized is not None]
    if realized:
        parts.append(shapes.element("path", d=shapes.path(realized), class_="line"))
        parts += [
            shapes.element("circle", cx=x, cy=y, r="2.4", class_="mark-busy") for x, y in realized[:400]
        ]
    return parts


def _axis(first: datetime, last: datetime, across: Place, bottom: float) -> list[Markup]:
    length = last - first
    form = "%H:%M" if length < timedelta(days=1) else "%-d %b" if length < timedelta(days=300) else "%b %Y"
    parts = []
    for part in range(6):
        moment = first + length * part / 5
        x = across(moment)
        anchor = "start" if part == 0 else "end" if part == 5 else "middle"
        line = f"M{shapes.number(x)} {_TOP:g}V{shapes.number(bottom)}"
        parts.append(shapes.element("path", d=line, class_="rule"))
        parts.append(shapes.text(x, bottom + 17, moment.strftime(form), text_anchor=anchor, class_="faint"))
    return parts


def _lanes(lanes: Sequence[str]) -> list[Markup]:
    parts = []
    for position, lane in enumerate(lanes):
        top = _TOP + _PLOT + 8 + position * _LANE
        parts.append(shapes.text(_LEFT - 8, top + _LANE / 2 + 4, lane, text_anchor="end"))
        line = f"M{_LEFT:g} {shapes.number(top)}H{WIDTH - _RIGHT:g}"
        parts.append(shapes.element("path", d=line, class_="rule"))
    return parts


def _versions(spans: Sequence[Span], across: Place, last: datetime) -> list[Markup]:
    top = _TOP + _PLOT + 8
    parts = []
    for position, span in enumerate(spans):
        begin = across(span.start)
        end = across(spans[position + 1].start if position + 1 < len(spans) else last)
        parts.append(
            shapes.element(
                "rect",
                shapes.element("title", f"{span.label} from {span.start:%Y-%m-%d %H:%M} UTC"),
                x=begin + 1,
                y=top + 5,
                width=max(end - begin - 2, 3.0),
                height=_LANE - 10,
                rx="4",
                class_="node busy" if position == len(spans) - 1 else "node",
            )
        )
        if end - begin > 26:
            parts.append(shapes.text(begin + 7, top + _LANE / 2 + 4, span.label))
    return parts


def _mark(moment: Moment, lane: int, across: Place) -> Markup:
    x, y = across(moment.at), _TOP + _PLOT + 8 + lane * _LANE + _LANE / 2
    told = shapes.element("title", f"{moment.at:%Y-%m-%d %H:%M} UTC: {moment.told}")
    if moment.lane == "Alarms":
        place = f"M{shapes.number(x)} {shapes.number(y - 7)}l7 12.5h-14z"
        return shapes.element("path", told, d=place, class_=f"mark-{moment.colour}")
    return shapes.element("circle", told, cx=x, cy=y, r="6", class_=f"mark-{moment.colour}")
