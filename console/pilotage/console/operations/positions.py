"""Positions in lists that are sorted by several columns, as cursors and as conditions of a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from pilotage.console.operations.listings import position_of
from pilotage.core import errors

_LARGEST = 2**31 - 1


def number(value: Any) -> int:
    """A whole number that a column can hold."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise ValueError(value)
    return value


def text(value: Any) -> str:
    """Text that a column can hold."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(value)
    value.encode()
    return value


def moment(value: Any) -> datetime:
    """An aware time."""
    found = datetime.fromisoformat(text(value))
    if found.tzinfo is None or not 1 < found.year < 9999:
        raise ValueError(value)
    return found


def read(cursor: str, kinds: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """The values of a cursor, each as its kind reads it.

    Raises:
        SettingsError: no list gave this cursor.
    """
    values = position_of(cursor, len(kinds))
    try:
        return [kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, OverflowError) as error:
        raise errors.SettingsError(
            f"`cursor` is `{cursor[:40]}`, which no list of this kind gave.",
            remedy="Take it from `next`, or leave it out.",
        ) from error


def after(columns: Sequence[tuple[ColumnElement[Any], bool]], values: Sequence[Any]) -> ColumnElement[bool]:
    """What holds for the rows behind `values` in a list sorted by `columns`.

    Args:
        columns: what it is sorted by, each with whether it descends.
        values: of the last row that was given.
    """
    steps = []
    for place, (column, descends) in enumerate(columns):
        same = [other == value for (other, _), value in zip(columns[:place], values, strict=False)]
        beyond = column < values[place] if descends else column > values[place]
        steps.append(and_(*same, beyond))
    return or_(*steps)
