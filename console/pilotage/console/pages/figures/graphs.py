"""The steps of a run as a graph: what state each is in, how long it took, what came from the cache.

Drawn twice, lying and standing, so that words stay readable on a narrow
screen; the style sheet shows one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup

from pilotage.console.pages import words
from pilotage.console.pages.figures import shapes

_WIDTH, _HEIGHT, _GAP, _MARGIN = 168.0, 72.0, 34.0, 6.0

_ABOUT = {
    "ingest": "source → snapshot",
    "validate": "snapshot → report",
    "train": "snapshot → model",
    "evaluate": "model → scorecard",
    "register": "model → version",
    "score": "rows → predictions",
}


class Node(NamedTuple):
    """One step."""

    name: str
    state: str
    seconds: float | None
    started_at: datetime | None
    cached: bool
    note: str = ""
    """What came out of it, in a few words."""


def steps(run: str, nodes: Sequence[Node]) -> Markup:
    """Both drawings of a run's steps."""
    title = f"Steps of run {run}"
    description = "; ".join(f"{node.name}: {_state(node)}" for node in nodes) + "."
    lying = _draw(f"lying-{run}", nodes, title, description, across=True)
    standing = _draw(f"standing-{run}", nodes, title, description, across=False)
    return Markup('<div class="wide-only">{}</div><div class="narrow-only">{}</div>').format(lying, standing)


def _draw(key: str, nodes: Sequence[Node], title: str, description: str, *, across: bool) -> Markup:
    pitch = (_WIDTH if across else _HEIGHT) + _GAP
    length = len(nodes) * pitch - _GAP + 2 * _MARGIN
    parts = []
    for position, node in enumerate(nodes):
        along = _MARGIN + position * pitch
        x, y = (along, _MARGIN) if across else (_MARGIN, along)
        parts.append(_node(node, x, y))
        if position:
            parts.append(_arrow(x, y, across=across))
    side = (_HEIGHT if across else _WIDTH) + 2 * _MARGIN
    width, height = (length, side) if across else (side, length)
    return shapes.picture(key, width, height, title, description, *parts, class_="steps")


def _node(node: Node, x: float, y: float) -> Markup:
    colour, icon = words.look(node.state)
    spins = "busy-sign" if icon == "spin" else None
    return shapes.element(
        "g",
        shapes.element("rect", x=x, y=y, width=_WIDTH, height=_HEIGHT, rx="9", class_="node"),
        shapes.element("g", shapes.sign(icon, x + 20, y + 20), class_=spins),
        shapes.text(x + 34, y + 25, node.name, class_="name"),
        shapes.text(x + 13, y + 44, shapes.clip(_state(node), 26)),
        shapes.text(x + 13, y + 61, shapes.clip(node.note or _ABOUT.get(node.name, ""), 26), class_="faint"),
        class_=colour,
    )


def _arrow(x: float, y: float, *, across: bool) -> Markup:
    if across:
        middle = y + _HEIGHT / 2
        line = f"M{shapes.number(x - _GAP + 3)} {shapes.number(middle)}h{_GAP - 11:g}"
        head = f"M{shapes.number(x - 3)} {shapes.number(middle)}l-7 -4.5v9z"
    else:
        middle = x + _WIDTH / 2
        line = f"M{shapes.number(middle)} {shapes.number(y - _GAP + 3)}v{_GAP - 11:g}"
        head = f"M{shapes.number(middle)} {shapes.number(y - 3)}l-4.5 -7h9z"
    return shapes.element(
        "g",
        shapes.element("path", d=line, class_="edge"),
        shapes.element("path", d=head, class_="arrow"),
    )


def _state(node: Node) -> str:
    if node.cached:
        return "cached"
    if node.state in ("pending", "skipped") or node.seconds is None:
        return node.state
    return f"{node.state} in {words.length(node.seconds)}"
