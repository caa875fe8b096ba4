"""The loop that every pilot runs in: the state of each part, and a link to where it is told in full.

Drawn twice, lying and standing; the style sheet shows the one that fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from pilotage.console.pages import words
from pilotage.console.pages.figures import shapes

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 250.0, 78.0, 52.0, 54.0, 8.0


class Part(NamedTuple):
    """A part of the loop."""

    name: str
    state: str
    """Looked up in `words`."""
    fact: str
    note: str
    address: str


def loop(pilot: str, parts: Sequence[Part]) -> Markup:
    """Both drawings of six parts, in the order in which they follow each other."""
    return Markup('<div class="wide-only">{}</div><div class="narrow-only">{}</div>').format(
        _ring(f"ring-{pilot}", pilot, parts), _column(f"column-{pilot}", pilot, parts)
    )


def _ring(key: str, pilot: str, parts: Sequence[Part]) -> Markup:
    half = len(parts) // 2
    places = [(column, 0) for column in range(half)] + [(column, 1) for column in reversed(range(half))]
    spots = [
        (_MARGIN + column * (_WIDTH + _ACROSS), _MARGIN + row * (_HEIGHT + _DOWN)) for column, row in places
    ]
    arrows = [_arrow(spots[index], spots[(index + 1) % len(spots)]) for index in range(len(spots))]
    width = half * _WIDTH + (half - 1) * _ACROSS + 2 * _MARGIN
    return _picture(key, pilot, parts, spots, arrows, width, 2 * _HEIGHT + _DOWN + 2 * _MARGIN)


def _column(key: str, pilot: str, parts: Sequence[Part]) -> Markup:
    pitch = _HEIGHT + 26
    spots = [(_MARGIN, _MARGIN + index * pitch) for index in range(len(parts))]
    arrows = [_arrow(spots[index], spots[index + 1]) for index in range(len(spots) - 1)]
    side, first, last = _MARGIN + _WIDTH, spots[0][1] + _HEIGHT / 2, spots[-1][1] + _HEIGHT / 2
    back = f"M{side:g} {last:g}h22V{first:g}h-14"
    arrows.append(shapes.element("path", d=back, class_="edge"))
    arrows.append(shapes.element("path", d=f"M{side + 3:g} {first:g}l7 -4.5v9z", class_="arrow"))
    return _picture(key, pilot, parts, spots, arrows, _WIDTH + 38, len(parts) * pitch + _MARGIN - 18)


def _picture(
    key: str,
    pilot: str,
    parts: Sequence[Part],
    spots: Sequence[tuple[float, float]],
    arrows: Sequence[Markup],
    width: float,
    height: float,
) -> Markup:
    told = "; ".join(f"{part.name}: {part.fact}" for part in parts) + "."
    nodes = [_node(part, *spot) for part, spot in zip(parts, spots, strict=True)]
    return shapes.picture(
        key, width, height, f"The loop of {pilot}", told, *arrows, *nodes, role="group", class_="loop"
    )


def _node(part: Part, x: float, y: float) -> Markup:
    colour, icon = words.look(part.state)
    return shapes.element(
        "a",
        shapes.element("rect", x=x, y=y, width=_WIDTH, height=_HEIGHT, rx="10", class_="node"),
        shapes.sign(icon, x + 21, y + 22),
        shapes.text(x + 36, y + 27, part.name, class_="name"),
        shapes.text(x + 14, y + 48, shapes.clip(part.fact, 34)),
        shapes.text(x + 14, y + 66, shapes.clip(part.note, 34), class_="faint"),
        href=part.address,
        class_=colour,
        aria_label=f"{part.name}: {part.fact}. {part.note}".strip(),
    )


def _arrow(begin: tuple[float, float], end: tuple[float, float]) -> Markup:
    """From one part to the next, which is beside or below it."""
    (x, y), (to_x, to_y) = begin, end
    if x == to_x:
        down = 1 if to_y > y else -1
        middle = x + _WIDTH / 2
        start = y + (_HEIGHT if down > 0 else 0) + 3 * down
        stop = to_y + (0 if down > 0 else _HEIGHT) - 3 * down
        line = f"M{middle:g} {start:g}V{stop - 6 * down:g}"
        head = f"M{middle:g} {stop:g}l-4.5 {-7 * down}h9z"
    else:
        right = 1 if to_x > x else -1
        middle = y + _HEIGHT / 2
        start = x + (_WIDTH if right > 0 else 0) + 3 * right
        stop = to_x + (0 if right > 0 else _WIDTH) - 3 * right
        line = f"M{start:g} {middle:g}H{stop - 6 * right:g}"
        head = f"M{stop:g} {middle:g}l{-7 * right} -4.5v9z"
    return shapes.element(
        "g", shapes.element("path", d=line, class_="edge"), shapes.element("path", d=head, class_="arrow")
    )
