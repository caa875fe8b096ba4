"""Drift as a map, features by time: how far each is from the reference, and where that is a drift.

A feature may be far from the reference and as it always is at its time of the year; only what the
monitor calls a drift has the warm colour.

The map itself is hidden from screen readers and from the keyboard, for it would be a
thousand stops: the same is told by the table that the page shows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup

from pilotage.console.pages import words
from pilotage.console.pages.figures import shapes

_CELL, _LEFT, _TOP, _RIGHT = 20.0, 190.0, 34.0, 12.0
_NAME_LETTERS = 26
_BOUNDS = (0.25, 0.5, 1.0, 2.0)
"""Effects, as multiples of the smallest that matters, at which the colour changes."""
_LABEL_WIDTH = 92.0
_LINK = Markup(
    '<a href="{}" tabindex="-1"><title>{}</title>'
    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="19" class="{}"/>{}</a>'
)
_DRIFTED = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.6"/>')


class Column(NamedTuple):
    """A window."""

    version: int
    start: datetime


class Cell(NamedTuple):
    """A feature in a window."""

    effect: float
    drifted: bool


Address = Callable[[int, str], str]
"""Where the feature of a name in the window of a position is shown."""


def level(effect: float, limit: float) -> int:
    """The colour of an effect, 0 to 4; from 3 on it is at least `limit`."""
    ratio = effect / limit if limit else (0.0 if effect <= 0 else _BOUNDS[-1])
    return sum(ratio >= bound for bound in _BOUNDS)


def heatmap(
    columns: Sequence[Column],
    rows: Sequence[tuple[str, Sequence[Cell | None]]],
    limit: float,
    address: Address,
    chosen: int | None = None,
) -> Markup:
    """The map.

    Args:
        columns: windows, oldest first.
        rows: names of features and their cells, one a window; None where a window has no such feature.
        limit: the smallest effect that matters.
        address: where a cell leads.
        chosen: position of the window that is shown elsewhere on the page.
    """
    pitch = _pitch(len(columns))
    width = _LEFT + pitch * len(columns) + _RIGHT
    height = _TOP + _CELL * len(rows) + 4
    parts = [*_times(columns, pitch), *_versions(columns, pitch, height)]
    for place, (name, cells) in enumerate(rows):
        parts.append(_row(name, cells, _TOP + place * _CELL, pitch, limit, columns, address))
    if chosen is not None:
        parts.append(
            shapes.element(
                "rect",
                x=_LEFT + chosen * pitch,
                y=_TOP,
                width=pitch,
                height=_CELL * len(rows),
                class_="chosen",
            )
        )
    return shapes.element(
        "svg",
        *parts,
        viewBox=f"0 0 {shapes.number(width)} {shapes.number(height)}",
        width=width,
        height=height,
        class_="heat",
        aria_hidden="true",
    )


def _pitch(columns: int) -> float:
    """Width of a column: wide where there are few."""
    return min(40.0, max(12.0, 900.0 / max(columns, 1)))


def _row(
    name: str,
    cells: Sequence[Cell | None],
    top: float,
    pitch: float,
    limit: float,
    columns: Sequence[Column],
    address: Address,
) -> Markup:
    label = shapes.text(
        _LEFT - 8, top + 14, shapes.clip(name, _NAME_LETTERS), text_anchor="end", class_="feature"
    )
    found = [label]
    for place, cell in enumerate(cells):
        if cell is not None:
            x = _LEFT + place * pitch
            found.append(_cell(name, cell, x, top, pitch, limit, columns[place], address(place, name)))
    return Markup("").join(found)


def _cell(
    name: str, cell: Cell, x: float, top: float, pitch: float, limit: float, column: Column, link: str
) -> Markup:
    """One cell; written at once, for there are many."""
    said = f"{name}, {words.instant(column.start)}: {words.number(cell.effect)}"
    said += ", drifted" if cell.drifted else ""
    mark = _DRIFTED.format(x + pitch / 2, top + _CELL / 2) if cell.drifted else ""
    look = "drift" if cell.drifted else f"h{level(cell.effect, limit)}"
    return _LINK.format(link, said, x + 0.5, top + 0.5, pitch - 1, look, mark)


def _times(columns: Sequence[Column], pitch: float) -> list[Markup]:
    """When windows begin, at as many as there is space for."""
    every = max(1, round(_LABEL_WIDTH / pitch))
    return [
        shapes.text(_LEFT + place * pitch, 14, f"{columns[place].start:%m-%d %H:%M}", class_="faint")
        for place in range(0, len(columns), every)
        if _LEFT + place * pitch + 70 < _LEFT + pitch * len(columns) + _RIGHT or place == 0
    ]


def _versions(columns: Sequence[Column], pitch: float, height: float) -> list[Markup]:
    """A line where another version begins to serve, with its number."""
    found = []
    before = None
    for place, column in enumerate(columns):
        if column.version != before:
            x = _LEFT + place * pitch
            if before is not None:
                found.append(
                    shapes.element(
                        "path", d=f"M{shapes.number(x)} 18V{shapes.number(height)}", class_="change"
                    )
                )
            found.append(shapes.text(x + 2, 29, f"v{column.version}", class_="faint"))
        before = column.version
    return found
