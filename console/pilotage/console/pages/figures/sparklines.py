"""A row of numbers as a line the height of a word, with what it shows told in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from pilotage.console.pages import words
from pilotage.console.pages.figures import shapes

WIDTH, HEIGHT, _EDGE = 120.0, 32.0, 3.0


def spark(
    values: Sequence[float | None],
    name: str,
    *,
    target: float | None = None,
    low: float | None = None,
    kind: str = "",
) -> Markup:
    """A line through `values`, oldest first; gaps where there is none.

    Args:
        values: what to draw.
        name: what it is of, for the text alternative.
        target: drawn as a dashed line, and always in view.
        low: the bottom of the scale, if it must be in view.
        kind: class of the last point: `good`, `bad`, `warn` or none.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return Markup("")
    bounds = [*known, *(value for value in (target, low) if value is not None)]
    least, most = min(bounds), max(bounds)
    span = (most - least) or 1.0

    def place(position: int, value: float) -> tuple[float, float]:
        across = position / max(len(values) - 1, 1) * (WIDTH - 2 * _EDGE) + _EDGE
        return across, HEIGHT - _EDGE - (value - least) / span * (HEIGHT - 2 * _EDGE)

    parts = [shapes.element("path", d=shapes.path(run), class_="line") for run in _runs(values, place)]
    if target is not None:
        level = place(0, target)[1]
        parts.insert(0, shapes.element("path", d=f"M0 {shapes.number(level)}H120", class_="target"))
    last = max(index for index, value in enumerate(values) if value is not None and math.isfinite(value))
    x, y = place(last, known[-1])
    parts.append(shapes.element("circle", cx=x, cy=y, r="2.6", class_=f"mark-{kind or 'busy'}"))
    return shapes.element(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        class_="spark",
        role="img",
        aria_label=describe(known, name, target),
    )


def describe(known: Sequence[float], name: str, target: float | None = None) -> str:
    """What a line shows, in words."""
    first, last = words.number(known[0]), words.number(known[-1])
    told = f"{name}, {words.plural(len(known), 'value')}: {first} first, {last} last"
    told += f", between {words.number(min(known))} and {words.number(max(known))}"
    return told + (f"; target {words.number(target)}" if target is not None else "")


def _runs(values: Sequence[float | None], place: object) -> list[list[tuple[float, float]]]:
    """Points without a gap between them; a lone one becomes a short line."""
    runs: list[list[tuple[float, float]]] = [[]]
    for position, value in enumerate(values):
        if value is None or not math.isfinite(value):
            runs.append([])
        else:
            runs[-1].append(place(position, value))  # type: ignore[operator]
    found = [run for run in runs if run]
    return [run if len(run) > 1 else [run[0], (run[0][0] + 0.1, run[0][1])] for run in found]
