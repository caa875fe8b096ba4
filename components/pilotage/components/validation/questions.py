"""What a compiled expectation asks of a table, and how answers are told in Great Expectations' words.

A compiled expectation is a generator: it yields questions, is sent the answers
and returns its outcome. So all expectations ask together, and one query
answers them; a second round asks only after what was found unexpected.
Running the queries is the business of `plans`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from pilotage.components.validation.tables import Table, View

MOST_EXAMPLES = 20
"""Unexpected values that a result lists."""


@dataclass(frozen=True)
class Number:
    """One value that a pass over the rows gives; those of the same rows are one query."""

    expression: pl.Expr


@dataclass(frozen=True)
class Rows:
    """A query of its own, which holds what it needs of its columns and nothing of others; gives a frame."""

    build: Callable[[pl.LazyFrame], pl.LazyFrame]


Question = Number | Rows
Answers = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of one expectation."""

    success: bool
    result: dict[str, Any]


Steps = Generator[Mapping[str, Question], Answers, Outcome]


@dataclass(frozen=True)
class Scope:
    """One expectation's place in the suite, its table and its arguments."""

    place: int
    table: Table
    arguments: Mapping[str, Any]

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    @property
    def view(self) -> View:
        """The one column that it is about.

        Raises:
            Uncompiled: there is no such column.
        """
        return self.table.view(self["column"])


def count_rows() -> dict[str, Question]:
    """How many rows there are: key `rows`."""
    return {"rows": Number(pl.len())}


def count_present(view: View) -> dict[str, Question]:
    """How many values are not missing: key `present <alias>`."""
    return {f"present {view.alias}": Number(view.values.count())}


def whole(expression: pl.Expr) -> Rows:
    """A value for which a column has to be held as a whole, apart from the pass over all columns."""
    return Rows(lambda frame: frame.select(expression))


def first(unexpected: pl.Expr, columns: Sequence[pl.Expr]) -> Rows:
    """The first rows for which `unexpected` is true."""
    return Rows(lambda frame: frame.filter(unexpected).select(*columns).head(MOST_EXAMPLES))


def mostly(considered: int, unexpected: int, share: float) -> bool:
    """Whether enough of what was considered is as expected; nothing is enough of nothing."""
    return not considered or (float(considered) - float(unexpected)) / float(considered) >= share


def counted(rows: int, considered: int, unexpected: int, listed: list[Any]) -> dict[str, Any]:
    """The result of an expectation about values, of which those missing do not count."""
    missing = rows - considered
    percent = unexpected / considered * 100 if considered else None
    return {
        "element_count": rows,
        "unexpected_count": unexpected,
        "unexpected_percent": percent if rows else None,
        "partial_unexpected_list": listed,
        "missing_count": missing,
        "missing_percent": missing / rows * 100 if rows else None,
        "unexpected_percent_total": unexpected / rows * 100 if rows else None,
        "unexpected_percent_nonmissing": percent if rows else None,
    }


def told(value: Any) -> Any:
    """A value as Great Expectations writes it in JSON."""
    if isinstance(value, date):
        return value.isoformat()
    return None if value != value else value


def column(answer: pl.DataFrame) -> list[Any]:
    """The first column of an answer, as Great Expectations writes its values."""
    return [told(value) for value in answer.to_series(0).to_list()]
