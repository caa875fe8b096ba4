"""The picture of a study of smaller models as SVG: the metric against size, time for a row and for a batch.

It stands alone with a style for light and dark; a page leaves that out and brings its own.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pilotage.components.shrinking.objectives import SAVED
from pilotage.core.artifacts import Objective

_WIDTH, _HEIGHT = 860.0, 340.0
_TOP, _BOTTOM, _LEFT, _RIGHT = 40.0, 48.0, 66.0, 12.0
_GAP = 18.0
_PANELS = (("size", "size"), ("row", "time for a row"), ("batch", "time for a batch"))
_TICKS = 4

STYLE = """
svg.shrink{font:13px system-ui,sans-serif;background:#fff}
.shrink text{fill:#333}.shrink .faint{fill:#5b6472;font-size:11px}.shrink .rule{stroke:#d5d9e0;fill:none}
.shrink .first{fill:#1b2330}.shrink .passed{fill:#2f6fde}
.shrink .failed{fill:#fff;stroke:#8a5a00;stroke-width:1.5}
.shrink .chosen{fill:none;stroke:#2f6fde;stroke-width:2}
.shrink .limit{stroke:#a4262c;stroke-dasharray:4 3;fill:none}
@media (prefers-color-scheme:dark){svg.shrink{background:#14181f}.shrink text{fill:#e6e9ef}
.shrink .faint{fill:#a3acba}.shrink .rule{stroke:#333b47}.shrink .first{fill:#e6e9ef}
.shrink .passed{fill:#6ea2ff}
.shrink .failed{fill:#14181f;stroke:#e0b060}.shrink .chosen{stroke:#6ea2ff}.shrink .limit{stroke:#ff8a8a}}
"""


def of_document(document: Mapping[str, Any], *, styled: bool = True, key: str = "shrink") -> str:
    """The picture of what a study found, given as JSON has it.

    Args:
        document: what `pilotage shrink PILOT --json` prints.
        styled: whether it brings a style, to stand alone.
        key: makes the picture's ids its own on a page.
    """
    shown = [(number, item) for number, item in enumerate(_all(document)) if item["metric"] is not None]
    lowest = min(item["metric"] for _, item in shown)
    highest = max(item["metric"] for _, item in shown)
    floor = document["original"]["metric"] - document["max_drop"]
    pad = 0.08 * (max(highest, floor) - min(lowest, floor)) or 0.01
    low, high = min(lowest, floor) - pad, max(highest, floor) + pad
    parts = [_text(_LEFT, 20, f"{document['metric']} against shares of version {document['version']}")]
    parts += [f"<style>{STYLE}</style>"] if styled else []
    width = (_WIDTH - _LEFT - _RIGHT - _GAP * (len(_PANELS) - 1)) / len(_PANELS)
    for place, (name, label) in enumerate(_PANELS):
        left = _LEFT + place * (width + _GAP)
        shares = [(number, item, _share(item, name)) for number, item in shown]
        parts += _panel(document, shares, (name, label), (left, width, low, high), numbers=place == 0)
    title = f"Smaller models of {document['pilot']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="shrink" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}"'
        f' width="{_WIDTH:g}" height="{_HEIGHT:g}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{html.escape(title)}</title>'
        f'<desc id="{key}-desc">{html.escape(describe(document))}</desc>{"".join(parts)}</svg>'
    )


def describe(document: Mapping[str, Any]) -> str:
    """What the picture shows, in words."""
    told = []
    for number, item in enumerate(_all(document)):
        if item["metric"] is not None:
            told.append(
                f"{number} {item['name']}: {item['metric']:.4g}, {_share(item, 'size'):.2f} of the size,"
                f" {_share(item, 'row'):.2f} of the time for a row, {_share(item, 'batch'):.2f} for a batch"
            )
    return "; ".join(told) + "."


def _all(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield document["original"]
    yield from document["candidates"]


def _share(item: Mapping[str, Any], name: str) -> float:
    found = item[name]
    value = found["value"] if isinstance(found, Mapping) else found
    return float(value) if value else 1.0


def _panel(
    document: Mapping[str, Any],
    shares: list[tuple[int, Mapping[str, Any], float]],
    told: tuple[str, str],
    frame: tuple[float, float, float, float],
    *,
    numbers: bool,
) -> Iterator[str]:
    """One panel, told by its name and label; shares on a logarithmic axis from the smallest to above one."""
    name, label = told
    left, width, low, high = frame
    smallest = math.log10(min([share for _, _, share in shares] + [0.4])) - 0.1
    largest = math.log10(max([share for _, _, share in shares] + [1.2])) + 0.05

    def x(share: float) -> float:
        return left + (math.log10(share) - smallest) / (largest - smallest) * width

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    for step in range(_TICKS + 1):
        value = low + (high - low) * step / _TICKS
        yield f'<path class="rule" d="M{left:.1f} {y(value):.1f}H{left + width:.1f}"/>'
        if numbers:
            yield _text(left - 6, y(value) + 4, f"{value:.4g}", "end", "faint")
    for share in _shares_told(10**smallest, 10**largest):
        yield f'<path class="rule" d="M{x(share):.1f} {_HEIGHT - _BOTTOM:g}v5"/>'
        yield _text(x(share), _HEIGHT - _BOTTOM + 18, f"{share:g}", "middle", "faint")
    yield _text(left + width / 2, _HEIGHT - 10, label, "middle")
    floor = y(document["original"]["metric"] - document["max_drop"])
    yield f'<path class="limit" d="M{left:.1f} {floor:.1f}H{left + width:.1f}"/>'
    if name in SAVED[Objective(document.get("objective", Objective.BALANCED))]:
        edge = x(document["at_most"])
        yield f'<path class="limit" d="M{edge:.1f} {_TOP:g}V{_HEIGHT - _BOTTOM:g}"/>'
    for number, item, share in reversed(shares):
        yield from _dot(number, item, x(share), y(item["metric"]), chosen=item["name"] == document["chosen"])


def _dot(number: int, item: Mapping[str, Any], x: float, y: float, *, chosen: bool) -> Iterator[str]:
    kind = "first" if number == 0 else "passed" if item["passed"] else "failed"
    title = html.escape(f"{item['name']}: {item['metric']:.4g}")
    yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{title}</title></circle>'
    if chosen:
        yield f'<circle class="chosen" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
    yield _text(x + 8, y - 6, str(number), "start", "faint")


def _shares_told(least: float, most: float) -> list[float]:
    """Round shares within an axis, at most five."""
    found = [
        factor * 10**power
        for power in range(-6, 3)
        for factor in (1, 2, 5)
        if least <= factor * 10**power <= most
    ]
    while len(found) > 5:
        found = found[::-2][::-1]
    return found


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    told = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{told}>{html.escape(words)}</text>'
