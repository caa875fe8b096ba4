"""One column's values in a window beside those of the reference, as pairs of bars."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pilotage.console.pages import words
from pilotage.console.pages.figures import shapes

_ROW, _LEFT, _WIDTH, _RIGHT = 30.0, 150.0, 560.0, 66.0
_LETTERS = 22


def bars(
    key: str, name: str, labels: Sequence[str], reference: Sequence[float], window: Sequence[float]
) -> Markup:
    """Two bars a cell: the share in the reference, and in the window.

    Args:
        key: makes the picture's ids its own on the page.
        name: of the column.
        labels: of the cells.
        reference: shares of the cells.
        window: likewise.
    """
    cells = list(zip(labels, reference, window, strict=True))
    most = max([0.0, *reference, *window]) or 1.0
    span = _WIDTH - _LEFT - _RIGHT
    parts = []
    for place, (label, before, now) in enumerate(cells):
        top = place * _ROW + 4
        parts += [
            shapes.text(_LEFT - 8, top + 16, shapes.clip(label, _LETTERS), text_anchor="end", class_="cell"),
            _bar(top + 2, span * before / most, "reference"),
            _bar(top + 13, span * now / most, "window"),
            shapes.text(
                _LEFT + span * max(before, now) / most + 6,
                top + 17,
                _change(before, now),
                class_="faint",
            ),
        ]
    return shapes.picture(
        key,
        _WIDTH,
        len(cells) * _ROW + 8,
        f"{name}: shares in the reference and in the window",
        describe(cells),
        *parts,
        class_="bars",
    )


def describe(cells: Sequence[tuple[str, float, float]]) -> str:
    """Where the two differ most, in words."""
    if not cells:
        return "There are no cells."
    most = sorted(cells, key=lambda cell: -abs(cell[2] - cell[1]))[:3]
    return (
        "; ".join(
            f"{label}: {words.percent(before)} in the reference, {words.percent(now)} in the window"
            for label, before, now in most
        )
        + "."
    )


def _bar(top: float, width: float, kind: str) -> Markup:
    return shapes.element("rect", x=_LEFT, y=top, width=max(width, 0.5), height=10.0, class_=kind)


def _change(before: float, now: float) -> str:
    """The difference in points of per cent, where it shows."""
    points = 100 * (now - before)
    return "" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "−")
