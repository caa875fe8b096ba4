"""A readiness score as a small picture that is looked at apart from the console, such as in a README."""

from __future__ import annotations

from markupsafe import Markup

from pilotage.console.pages.figures import shapes
from pilotage.console.pages.figures.shapes import element

_LABEL = "ML Test Score"
_HEIGHT, _PADDING = 22.0, 8.0
_LETTER = 6.7
"""Width of a letter on average, in the font below; `textLength` makes it exact."""
_FONT = "Verdana, DejaVu Sans, sans-serif"
_COLOURS = ((0.0, "#8c2f2f"), (1.0, "#a8442a"), (2.0, "#8a5a00"), (3.0, "#5f6b00"), (5.0, "#1f7a3d"))
"""By the paper's bands, dark enough for white letters (contrast 4.5 and more)."""
_BEST, _GREY = "#0b6b5b", "#3d4450"


def badge(score: float, band: str) -> Markup:
    """The score out of 7, with what it stands for as its description."""
    told = f"{score:g} of 7"
    left, right = _width(_LABEL), _width(told)
    colour = next((colour for most, colour in _COLOURS if score <= most), _BEST)
    whole = left + right
    return shapes.picture(
        "badge",
        whole,
        _HEIGHT,
        f"{_LABEL}: {told}",
        band,
        element("rect", width=whole, height=_HEIGHT, rx=4.0, fill=_GREY),
        element(
            "path",
            d=f"M{shapes.number(left)} 0h{shapes.number(right - 4)}a4 4 0 0 1 4 4v14a4 4 0 0 1 -4 4"
            f"h{shapes.number(4 - right)}z",
            fill=colour,
        ),
        _words(left / 2, left, _LABEL),
        _words(left + right / 2, right, told),
        xmlns="http://www.w3.org/2000/svg",
    )


def _width(words: str) -> float:
    return len(words) * _LETTER + 2 * _PADDING


def _words(middle: float, width: float, words: str) -> Markup:
    return shapes.text(
        middle,
        15.0,
        words,
        text_anchor="middle",
        textLength=width - 2 * _PADDING,
        font_family=_FONT,
        font_size=11.0,
        fill="#ffffff",
    )
