"""Small pictures of numbers that a table beside them tells: SVG without styles or scripts.

Colours are the page's: elements have the classes `axis`, `span`, `dot`, `up`, `down`, `band` and
`line`. Cards and the console draw with these.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from pilotage.components.cards.numbers import Spanned

WIDTH, HEIGHT = 160.0, 18.0
_EDGE = 6.0


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _element(name: str, **attributes: object) -> str:
    told = " ".join(
        f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    return f"<{name} {told}/>"


def _svg(parts: Sequence[str], width: float, height: float, kind: str, title: str = "") -> Markup:
    role = f'role="img" aria-label="{escape(title)}"' if title else 'aria-hidden="true" focusable="false"'
    size = f'viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}"'
    return Markup(f'<svg class="{kind}" {size} {role}>{"".join(parts)}</svg>')  # noqa: S704 - escaped above


def reach(found: Sequence[Spanned | None], *, zero: bool = False) -> tuple[float, float]:
    """The axis that holds all of them."""
    ends = [
        end for one in found if one is not None for end in (one.value, one.low, one.high) if end is not None
    ]
    ends += [0.0] if zero else []
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def span(found: Spanned | None, axis: tuple[float, float], mark: float | None = None) -> Markup:
    """A dot with its interval; `mark` is a line to hold it against."""

    def x(value: float) -> float:
        return _EDGE + (value - axis[0]) / (axis[1] - axis[0]) * (WIDTH - 2 * _EDGE)

    middle = HEIGHT / 2
    parts = [_element("path", class_="axis", d=f"M{_n(_EDGE)} {_n(middle)}H{_n(WIDTH - _EDGE)}")]
    if mark is not None and axis[0] <= mark <= axis[1]:
        parts.append(_element("path", class_="axis", d=f"M{_n(x(mark))} 2V{_n(HEIGHT - 2)}"))
    if found is not None and found.value is not None:
        if found.low is not None and found.high is not None:
            width = max(x(found.high) - x(found.low), 1.0)
            parts.append(
                _element(
                    "rect",
                    class_="span",
                    x=_n(x(found.low)),
                    y=_n(middle - 3),
                    width=_n(width),
                    height=6,
                    rx=3,
                )
            )
        parts.append(_element("circle", class_="dot", cx=_n(x(found.value)), cy=_n(middle), r=3.5))
    return _svg(parts, WIDTH, HEIGHT, "span-picture")


def contribution(value: float, most: float) -> Markup:
    """A bar to the right for what raises the output, to the left for what lowers it."""
    middle, half = WIDTH / 2, WIDTH / 2 - _EDGE
    length = abs(value) / most * half if most > 0 else 0.0
    parts = [
        _element("path", class_="axis", d=f"M{_n(middle)} 1V{_n(HEIGHT - 1)}"),
        _element(
            "rect",
            class_="up" if value >= 0 else "down",
            x=_n(middle if value >= 0 else middle - length),
            y=4,
            width=_n(max(length, 0.5)),
            height=_n(HEIGHT - 8),
            rx=2,
        ),
    ]
    return _svg(parts, WIDTH, HEIGHT, "span-picture")


def curve(
    title: str,
    places: Sequence[float],
    means: Sequence[float],
    low: Sequence[float] = (),
    high: Sequence[float] = (),
    *,
    diagonal: bool = False,
) -> Markup:
    """A line over ascending places, with a band around it; `diagonal` draws where both axes agree."""
    width, height, edge = 240.0, 130.0, 8.0
    bottom, top = min([*means, *low]), max([*means, *high])
    left, right = min(places), max(places)
    if diagonal:
        bottom, top, left, right = 0.0, 1.0, 0.0, 1.0

    def at(x: float, y: float) -> str:
        across = (x - left) / (right - left) if right > left else 0.5
        up = (y - bottom) / (top - bottom) if top > bottom else 0.5
        return f"{_n(edge + across * (width - 2 * edge))} {_n(height - edge - up * (height - 2 * edge))}"

    parts = [
        _element("path", class_="axis", d=f"M{_n(edge)} {_n(edge)}V{_n(height - edge)}H{_n(width - edge)}")
    ]
    if diagonal:
        parts.append(_element("path", class_="axis dashed", d=f"M{at(0, 0)}L{at(1, 1)}"))
    if low and high:
        there = [at(x, y) for x, y in zip(places, high, strict=True)]
        back = [at(x, y) for x, y in reversed(list(zip(places, low, strict=True)))]
        parts.append(_element("path", class_="band", d=f"M{'L'.join([*there, *back])}Z"))
    points = [at(x, y) for x, y in zip(places, means, strict=True)]
    parts.append(_element("path", class_="line", d=f"M{'L'.join(points)}"))
    for point in points:
        x, y = point.split(" ")
        parts.append(_element("circle", class_="dot", cx=x, cy=y, r=2.5))
    return _svg(parts, width, height, "curve-picture", title)
