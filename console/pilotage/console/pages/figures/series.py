"""Values over time with their intervals, and the line that they are to reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup

from pilotage.console.pages import words
from pilotage.console.pages.figures import shapes

_WIDTH, _HEIGHT = 860.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 14.0, 14.0, 30.0
_TICKS = 4


class Dot(NamedTuple):
    """One value."""

    at: datetime
    value: float
    low: float | None = None
    high: float | None = None


class Line(NamedTuple):
    """Values that belong together, oldest first."""

    name: str
    kind: str
    """Class of the style sheet: `first` or `second`."""
    dots: Sequence[Dot]


def chart(
    key: str,
    title: str,
    lines: Sequence[Line],
    *,
    target: float | None = None,
    named: str = "target",
    zero: bool = False,
    stairs: bool = False,
) -> Markup:
    """Lines over time; nothing where no line has a value.

    Args:
        key: makes the picture's ids its own on the page.
        title: what it shows.
        lines: what to draw.
        target: a dashed line, always in view.
        named: what that line is called.
        zero: whether zero is in view.
        stairs: whether values are sums of a time and are drawn as bars.
    """
    dots = [dot for line in lines for dot in line.dots if math.isfinite(dot.value)]
    if not dots:
        return Markup("")
    scale = _Scale.of(dots, [value for value in (target, 0.0 if zero else None) if value is not None])
    parts = _grid(scale)
    if target is not None:
        y = shapes.number(scale.y(target))
        parts.append(
            shapes.element("path", d=f"M{shapes.number(_LEFT)} {y}H{_WIDTH - _RIGHT:g}", class_="target")
        )
        parts.append(
            shapes.text(_WIDTH - _RIGHT, scale.y(target) - 4, named, text_anchor="end", class_="faint")
        )
    for line in lines:
        known = [dot for dot in line.dots if math.isfinite(dot.value)]
        parts += _bars(known, line, scale) if stairs else _line(known, line, scale)
    return shapes.picture(
        key, _WIDTH, _HEIGHT, title, describe(lines, target, named), *parts, class_="series"
    )


def describe(lines: Sequence[Line], target: float | None, named: str = "target") -> str:
    """What the lines show, in words."""
    told = []
    for line in lines:
        if line.dots:
            first, last = line.dots[0], line.dots[-1]
            told.append(
                f"{line.name}: {words.number(first.value)} at {words.instant(first.at)},"
                f" {words.number(last.value)} at {words.instant(last.at)}"
            )
    if target is not None:
        told.append(f"{named} {words.number(target)}")
    return "; ".join(told) + "."


class _Scale(NamedTuple):
    """From times and values to places."""

    first: datetime
    seconds: float
    least: float
    most: float

    @classmethod
    def of(cls, dots: Sequence[Dot], extra: Sequence[float]) -> _Scale:
        bounds = [
            value
            for dot in dots
            for value in (dot.value, dot.low, dot.high)
            if value is not None and math.isfinite(value)
        ]
        least, most = nice(min([*bounds, *extra]), max([*bounds, *extra]))
        first, last = min(dot.at for dot in dots), max(dot.at for dot in dots)
        return cls(first, (last - first).total_seconds() or 1.0, least, most)

    def x(self, at: datetime) -> float:
        share = (at - self.first).total_seconds() / self.seconds
        return _LEFT + 6 + share * (_WIDTH - _LEFT - _RIGHT - 12)

    def y(self, value: float) -> float:
        share = (value - self.least) / (self.most - self.least)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def nice(least: float, most: float) -> tuple[float, float]:
    """Bounds around `least` and `most` that are multiples of a round step."""
    span = (most - least) or abs(most) or 1.0
    step = 10 ** math.floor(math.log10(span / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step * _TICKS >= span)
    return math.floor(least / step) * step, math.ceil(most / step) * step or step


def _grid(scale: _Scale) -> list[Markup]:
    """Lines at round values, and the times of the ends and the middle."""
    parts = []
    for place in range(_TICKS + 1):
        value = scale.least + (scale.most - scale.least) * place / _TICKS
        y = scale.y(value)
        parts.append(
            shapes.element("path", d=f"M{_LEFT:g} {shapes.number(y)}H{_WIDTH - _RIGHT:g}", class_="rule")
        )
        parts.append(shapes.text(_LEFT - 8, y + 4, words.number(value), text_anchor="end", class_="faint"))
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = datetime.fromtimestamp(scale.first.timestamp() + share * scale.seconds, scale.first.tzinfo)
        parts.append(
            shapes.text(scale.x(at), _HEIGHT - 10, f"{at:%Y-%m-%d %H:%M}", text_anchor=anchor, class_="faint")
        )
    return parts


def _line(dots: Sequence[Dot], line: Line, scale: _Scale) -> list[Markup]:
    """The band of the intervals, the line, and a dot a value."""
    sure = [dot for dot in dots if dot.low is not None and dot.high is not None]
    parts = []
    if sure:
        upper = [(scale.x(dot.at), scale.y(dot.high or 0.0)) for dot in sure]
        lower = [(scale.x(dot.at), scale.y(dot.low or 0.0)) for dot in reversed(sure)]
        if len(sure) == 1:
            upper = [(upper[0][0] - 3, upper[0][1]), (upper[0][0] + 3, upper[0][1])]
            lower = [(lower[0][0] + 3, lower[0][1]), (lower[0][0] - 3, lower[0][1])]
        parts.append(
            shapes.element("path", d=shapes.path([*upper, *lower]) + "Z", class_=f"band {line.kind}")
        )
    places = [(scale.x(dot.at), scale.y(dot.value)) for dot in dots]
    if len(places) > 1:
        parts.append(shapes.element("path", d=shapes.path(places), class_=f"line {line.kind}"))
    for dot, (x, y) in zip(dots, places, strict=True):
        said = f"{line.name}, {words.instant(dot.at)}: {words.number(dot.value)}"
        parts.append(
            shapes.element(
                "circle", shapes.element("title", said), cx=x, cy=y, r="2.8", class_=f"dot {line.kind}"
            )
        )
    return parts


def _bars(dots: Sequence[Dot], line: Line, scale: _Scale) -> list[Markup]:
    """A bar from zero a value, with its interval."""
    width = max(2.0, min(26.0, (_WIDTH - _LEFT - _RIGHT) / max(len(dots), 1) * 0.7))
    zero = scale.y(min(max(0.0, scale.least), scale.most))
    parts = []
    for dot in dots:
        x, y = scale.x(dot.at), scale.y(dot.value)
        said = f"{line.name}, {words.instant(dot.at)}: {words.number(dot.value)}"
        parts.append(
            shapes.element(
                "rect",
                shapes.element("title", said),
                x=x - width / 2,
                y=min(y, zero),
                width=width,
                height=max(abs(zero - y), 0.5),
                class_=f"bar {line.kind}",
            )
        )
        if dot.low is not None and dot.high is not None and dot.high > dot.low:
            ends = [(x, scale.y(dot.low)), (x, scale.y(dot.high))]
            parts.append(shapes.element("path", d=shapes.path(ends), class_="whisker"))
    return parts
