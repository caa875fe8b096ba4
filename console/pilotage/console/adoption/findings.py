"""What is found on the way from a model back to its table; how it is found is not known here."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field


@dataclass
class Found:
    """A table, or a column of it."""

    name: str = ""
    """Of the variable that holds the table."""
    place: int = 0
    """The statement before which it holds it."""
    include: list[str] | None = None
    """Features, where they are named; all but `exclude` otherwise."""
    exclude: list[str] = field(default_factory=list)
    column: str | None = None
    """Of a target."""
    expression: ast.expr | None = None
    """Of a target that is worked out from others; it holds at `place`."""
    last: bool = False
    """Whether the target is the last column."""
    sure: bool = True
    """False where columns were chosen in a way that cannot be told."""


@dataclass
class Seen:
    """What was met on the way."""

    test_size: float | None = None
    seed: int | None = None
    time: str | None = None
    """Column that rows are split by."""
    ordered: bool = False
    """Whether the split is by position."""
    through: set[str] = field(default_factory=set)
    """What was looked through, such as `StandardScaler` or `get_dummies`."""
