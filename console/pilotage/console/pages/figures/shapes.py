"""SVG elements as markup, with everything escaped, and coordinates that are short."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

SIGNS = {
    "check": "M-4.5 .5l3 3 6-7",
    "cross": "M-4 -4l8 8M4 -4l-8 8",
    "alert": "M0 -5.6L6 5H-6zM0 -1.4v2.6M0 3v.3",
    "clock": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0 -11 0M0 -3.2V0l2.2 1.5",
    "spin": "M0 -5.5a5.5 5.5 0 1 1 -5.5 5.5",
    "recycle": "M-5 -1a5.2 5.2 0 0 1 9.3 -2M5 1a5.2 5.2 0 0 1 -9.3 2M4.6 -6v3.2H1.4M-4.6 6v-3.2h3.2",
    "stop": "M-4 -4h8v8h-8z",
    "dash": "M-4.5 0h9",
    "dot": "M-1.5 0a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0 -3 0",
    "pause": "M-2.5 -4.5v9M2.5 -4.5v9",
}
"""Lines of a sign around its middle, by the icon's name in `words`."""


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, *children: Markup | str, **attributes: object) -> Markup:
    """`<name …>children</name>`; `class_` and `a_b` become `class` and `a-b`, None leaves one out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_written(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{told}>{inside}</{name}>")  # noqa: S704 - each part is escaped above


def _written(value: object) -> object:
    return number(value) if isinstance(value, float) else value


def text(x: float, y: float, words: str, **attributes: object) -> Markup:
    """Words at a place."""
    return element("text", words, x=float(x), y=float(y), **attributes)


def sign(icon: str, x: float, y: float) -> Markup:
    """A state's sign with its middle at a place; a dot where the icon has none."""
    lines = SIGNS.get(icon, SIGNS["dot"])
    return element("path", d=lines, class_="sign", transform=f"translate({number(x)} {number(y)})")


def path(points: Iterable[tuple[float, float]]) -> str:
    """A polyline as path data."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def picture(
    key: str,
    width: float,
    height: float,
    title: str,
    description: str,
    *children: Markup,
    **attributes: object,
) -> Markup:
    """The whole: an image with a name and a description; `key` makes their ids its own on the page."""
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *children,
        **{
            "viewBox": f"0 0 {number(width)} {number(height)}",
            "width": float(width),
            "height": float(height),
            "role": "img",
            "aria_labelledby": f"{key}-title {key}-desc",
            **attributes,
        },
    )


def clip(words: str, letters: int) -> str:
    """`words` with at most so many letters."""
    return words if len(words) <= letters else words[: letters - 1].rstrip() + "…"
