"""The look that all tables share, and how values are written in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

_GOOD = frozenset({"succeeded", "cached", "done", "promoted", "active"})
_BAD = frozenset({"failed", "died", "refused", "rejected"})


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """An empty table; columns named in `right` hold numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        justify: JustifyMethod = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=place == 0)
    return made


def number(value: float | None, digits: int = 4) -> str:
    """A number as people read it; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def moment(value: datetime | None) -> str:
    """A time in UTC to the minute."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M}"


def state(value: Any) -> Text:
    """A state in its colour."""
    text = str(value)
    style = "green" if text in _GOOD else "red" if text in _BAD else "yellow"
    return Text(text, style=style)


def verdict(passed: bool) -> Text:
    """Whether something passed, told by a word as well as a colour."""
    return Text("passed", style="green") if passed else Text("failed", style="red")
