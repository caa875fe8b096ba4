"""The picture of a forecast as SVG: what was measured, the curve, its interval, the target.

It stands alone with a style for light and dark; a page leaves that out and brings its own for the same
classes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH, _HEIGHT = 860.0, 380.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 66.0, 18.0, 34.0, 46.0
_TICKS = 5

STYLE = """
svg.forecast{font:13px system-ui,sans-serif;background:#fff}
.forecast text{fill:#333}.forecast .faint{fill:#5b6472}.forecast .rule{stroke:#d5d9e0;fill:none}
.forecast .band{fill:#2f6fde;opacity:.18}.forecast .curve{stroke:#2f6fde;fill:none;stroke-width:2}
.forecast .beyond{stroke-dasharray:6 4}.forecast .dot{fill:#1b2330}.forecast .other{fill:none;stroke:#8a5a00}
.forecast .whisker{stroke:#1b2330}.forecast .target{stroke:#a4262c;stroke-dasharray:3 3;fill:none}
.forecast .now{stroke:#5b6472;stroke-dasharray:2 4;fill:none}
@media (prefers-color-scheme:dark){svg.forecast{background:#14181f}.forecast text{fill:#e6e9ef}
.forecast .faint{fill:#a3acba}.forecast .rule{stroke:#333b47}.forecast .band{fill:#6ea2ff}
.forecast .curve{stroke:#6ea2ff}.forecast .dot{fill:#e6e9ef}.forecast .whisker{stroke:#e6e9ef}
.forecast .other{stroke:#e0b060}.forecast .target{stroke:#ff8a8a}.forecast .now{stroke:#a3acba}}
"""


def of_document(document: Mapping[str, Any], *, styled: bool = True, key: str = "forecast") -> str:
    """The picture of a pilot's forecast, given as JSON has it.

    Args:
        document: what `pilotage forecast PILOT --json` prints.
        styled: whether it brings a style, to stand alone.
        key: makes the picture's ids its own on a page.
    """
    points, drawn = document["points"], document["drawn"]
    target = document["target"]
    sizes = [point["n"] for point in points] + [place["n"] for place in drawn]
    plain = [point for point in points if point["scale"] == 1.0]
    values = [end for point in plain for end in _ends(point)] + [point["value"] for point in points]
    values += [
        place[name] for place in drawn for name in ("low", "value", "high") if place["n"] >= min(sizes)
    ]
    if target is not None:
        values.append(target)
    scale = _Scale(min(sizes), max(sizes), *_bounds(values))
    parts = [*_grid(scale), _text(_LEFT, 20, f"{document['metric']} by training rows")]
    parts += _course(drawn, document["rows"], scale)
    now = _number(scale.x(document["rows"]))
    parts.append(f'<path class="now" d="M{now} {_TOP:g}V{_HEIGHT - _BOTTOM:g}"/>')
    parts.append(_text(scale.x(document["rows"]) - 5, _TOP + 12, "now", "end", "faint"))
    if target is not None:
        y = scale.y(target)
        parts.append(f'<path class="target" d="M{_LEFT:g} {_number(y)}H{_WIDTH - _RIGHT:g}"/>')
        parts.append(_text(_WIDTH - _RIGHT, y - 5, f"target {target:g}", "end", "faint"))
    parts += [_dot(point, scale) for point in points if point["scale"] != 1.0]
    parts += [_measured(point, scale) for point in plain]
    title = f"Forecast of {document['metric']} for {document['pilot']}"
    return _picture(key, title, _described(document), parts, styled=styled)


class _Scale:
    """From sizes and values to places."""

    def __init__(self, least: float, most: float, low: float, high: float) -> None:
        self.least, self.most, self.low, self.high = math.log(least), math.log(most), low, high

    def x(self, size: float) -> float:
        share = (math.log(size) - self.least) / max(self.most - self.least, 1e-9)
        return _LEFT + 8 + share * (_WIDTH - _LEFT - _RIGHT - 16)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    least, most = min(values), max(values)
    if most - least < 1e-9 * max(abs(least), 1.0):
        least, most = least - 0.1, most + 0.1
    step = 10 ** math.floor(math.log10((most - least) / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step * _TICKS >= most - least)
    return math.floor(least / step) * step, math.ceil(most / step) * step


def _grid(scale: _Scale) -> list[str]:
    parts = []
    for place in range(_TICKS + 1):
        value = scale.low + (scale.high - scale.low) * place / _TICKS
        y = scale.y(value)
        parts.append(f'<path class="rule" d="M{_LEFT:g} {_number(y)}H{_WIDTH - _RIGHT:g}"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{value:.4g}", "end", "faint"))
    ticks = [
        factor * 10**power
        for power in range(int(scale.least / math.log(10)) - 1, int(scale.most / math.log(10)) + 2)
        for factor in ((1, 2, 5) if scale.most - scale.least < 8 else (1,))
    ]
    for size in ticks:
        if scale.least <= math.log(size) <= scale.most:
            x = scale.x(size)
            parts.append(f'<path class="rule" d="M{_number(x)} {_HEIGHT - _BOTTOM:g}v5"/>')
            parts.append(_text(x, _HEIGHT - _BOTTOM + 20, _rows(size), "middle", "faint"))
    parts.append(_text(_WIDTH - _RIGHT, _HEIGHT - 6, "training rows, logarithmic", "end", "faint"))
    return parts


def _course(drawn: Sequence[Mapping[str, float]], rows: float, scale: _Scale) -> list[str]:
    """The band of what lies ahead, and the curve: drawn where it was measured, dashed beyond."""
    if not drawn:
        return []
    ahead = [place for place in drawn if place["n"] >= rows * 0.999]
    behind = [place for place in drawn if place["n"] <= rows]
    upper = [(scale.x(place["n"]), scale.y(place["high"])) for place in ahead]
    lower = [(scale.x(place["n"]), scale.y(place["low"])) for place in reversed(ahead)]
    middle = [(scale.x(place["n"]), scale.y(place["value"])) for place in [*behind[-1:], *ahead]]
    known = [(scale.x(place["n"]), scale.y(place["value"])) for place in behind]
    parts = [f'<path class="band" d="{_path([*upper, *lower])}Z"/>'] if upper else []
    parts += [f'<path class="curve" d="{_path(known)}"/>'] if len(known) > 1 else []
    parts += [f'<path class="curve beyond" d="{_path(middle)}"/>'] if len(middle) > 1 else []
    return parts


def _ends(point: Mapping[str, Any]) -> tuple[float, float]:
    """Two standard errors below and above a mean."""
    reach = 2 * (point["stderr"] or 0.0)
    return point["value"] - reach, point["value"] + reach


def _measured(point: Mapping[str, Any], scale: _Scale) -> str:
    x, y = scale.x(point["n"]), scale.y(point["value"])
    whisker = ""
    if point["stderr"]:
        ends = [(x, scale.y(end)) for end in _ends(point)]
        whisker = f'<path class="whisker" d="{_path(ends)}"/>'
    said = html.escape(f"{point['n']:,} rows: {point['value']:.4g}, mean of {point['repeats']}")
    return f"{whisker}{_circle('dot', x, y, 4, said)}"


def _dot(point: Mapping[str, Any], scale: _Scale) -> str:
    said = html.escape(
        f"{point['n']:,} rows, a model {point['scale']:g} times as large: {point['value']:.4g}"
    )
    x, y, half = scale.x(point["n"]), scale.y(point["value"]), 2.5 + min(math.sqrt(point["scale"]), 3)
    return _circle("other", x, y, half, said)


def _circle(kind: str, x: float, y: float, radius: float, said: str) -> str:
    place = f'cx="{_number(x)}" cy="{_number(y)}" r="{_number(radius)}"'
    return f'<circle class="{kind}" {place}><title>{said}</title></circle>'


def _described(document: Mapping[str, Any]) -> str:
    told = [f"Measured up to {document['rows']:,} rows: {document['current']:.4g}."]
    told += [
        f"At {point['n']:,} rows {point['value']:.4g}, between {point['low']:.4g} and {point['high']:.4g}."
        for point in document["forecast"]
    ]
    return " ".join([*told, document["refused"]]).strip()


def _picture(key: str, title: str, description: str, parts: Sequence[str], *, styled: bool) -> str:
    style = f"<style>{STYLE}</style>" if styled else ""
    space = ' xmlns="http://www.w3.org/2000/svg"' if styled else ""
    named = f'<title id="{key}-title">{html.escape(title)}</title>'
    told = f'<desc id="{key}-desc">{html.escape(description)}</desc>'
    return (
        f'<svg{space} class="forecast" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" width="{_WIDTH:g}"'
        f' height="{_HEIGHT:g}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f"{named}{told}{style}{''.join(parts)}</svg>\n"
    )


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    told = f' class="{kind}"' if kind else ""
    return f'<text x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"{told}>{html.escape(words)}</text>'


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in places)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _rows(size: float) -> str:
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{size / limit:g}{sign}"
    return f"{size:g}"
