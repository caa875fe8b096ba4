"""Expectations about each value of a column: missing, of a type, in a set or a range, like a pattern.

Each compiler turns arguments into an expression that is true for a value as
expected; counting, `mostly` and examples are the same for all. Whether values
repeat or are in order is in `sequences`.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from pilotage.components.validation import patterns, types
from pilotage.components.validation.questions import (
    MOST_EXAMPLES,
    Number,
    Outcome,
    Scope,
    Steps,
    column,
    count_present,
    count_rows,
    counted,
    first,
    mostly,
)  # fmt: skip
from pilotage.components.validation.tables import Uncompiled, View
from pilotage.core.artifacts import ColumnType


def judge(scope: Scope, expected: pl.Expr) -> Steps:
    """Count the values for which `expected` is false and list the first of them."""
    view, key = scope.view, f"unexpected {scope.place}"
    found = yield count_rows() | count_present(view) | {key: Number((~expected).sum())}
    rows, present, unexpected = found["rows"], found[f"present {view.alias}"], int(found[key])
    listed = []
    if unexpected:
        examples = yield {f"first {scope.place}": first(~expected, [view.values])}
        listed = column(examples[f"first {scope.place}"])
    return Outcome(mostly(present, unexpected, scope["mostly"]), counted(rows, present, unexpected, listed))


def not_null(scope: Scope) -> Steps:
    """`expect_column_values_to_not_be_null`."""
    view = scope.view
    found = yield count_rows() | count_present(view)
    rows = found["rows"]
    missing = rows - found[f"present {view.alias}"]
    none = "NaT" if view.type is ColumnType.DATETIME else None
    return _of_all(scope, rows, missing, [none] * min(missing, MOST_EXAMPLES))


def null(scope: Scope) -> Steps:
    """`expect_column_values_to_be_null`."""
    view = scope.view
    found = yield count_rows() | count_present(view)
    present, listed = found[f"present {view.alias}"], []
    if present:
        key = f"first {scope.place}"
        listed = column((yield {key: first(view.values.is_not_null(), [view.values])})[key])
    return _of_all(scope, found["rows"], present, listed)


def _of_all(scope: Scope, rows: int, unexpected: int, listed: list[object]) -> Outcome:
    """The outcome where missing values count as values."""
    result = {
        "element_count": rows,
        "unexpected_count": unexpected,
        "unexpected_percent": unexpected / rows * 100 if rows else None,
        "partial_unexpected_list": listed,
    }
    return Outcome(mostly(rows, unexpected, scope["mostly"]), result)


def of_type(scope: Scope) -> Steps:
    """`expect_column_values_to_be_of_type`."""
    return _typed(scope, [scope["type_"]], as_list=False)


def in_type_list(scope: Scope) -> Steps:
    """`expect_column_values_to_be_in_type_list`."""
    return _typed(scope, scope["type_list"], as_list=True)


def _typed(scope: Scope, names: list[str], *, as_list: bool) -> Steps:
    """Only of columns of objects are the values looked at, unless the one name is that of objects."""
    view = scope.view
    if view.scalar != "object_" or (not as_list and names[0] in types.OBJECT):
        return (yield from _same(types.is_scalar(view, names, exact=as_list), view.scalar))
    fits = types.is_value(view, names)
    return (yield from judge(scope, pl.when(view.values.is_not_null()).then(pl.lit(fits))))


def _same(success: bool, scalar: str) -> Steps:
    yield {}
    return Outcome(success, {"observed_value": scalar})


def in_set(scope: Scope) -> Steps:
    """`expect_column_values_to_be_in_set`."""
    return judge(scope, scope.view.inside(scope["value_set"]))


def not_in_set(scope: Scope) -> Steps:
    """`expect_column_values_to_not_be_in_set`."""
    return judge(scope, ~scope.view.inside(scope["value_set"]))


def between(scope: Scope) -> Steps:
    """`expect_column_values_to_be_between`."""
    view, low, high = scope.view, scope["min_value"], scope["max_value"]
    kinds = {ColumnType.INTEGER: float, ColumnType.NUMBER: float, ColumnType.DATE: date,
             ColumnType.DATETIME: datetime}  # fmt: skip
    if any(end is not None and type(end) is not kinds.get(view.type) for end in (low, high)):
        raise Uncompiled(f"{view.type} between {low!r} and {high!r}")
    return judge(scope, within(_compared(view), low, high, scope))


def _compared(view: View) -> pl.Expr:
    """Integers are compared with limits as float64, as NumPy does it."""
    return view.values.cast(pl.Float64) if view.type is ColumnType.INTEGER else view.values


def within(values: pl.Expr, low: object, high: object, scope: Scope) -> pl.Expr:
    """Whether values lie between limits, either of which may be None."""
    parts = []
    if low is not None:
        parts.append(values > pl.lit(low) if scope["strict_min"] else values >= pl.lit(low))
    if high is not None:
        parts.append(values < pl.lit(high) if scope["strict_max"] else values <= pl.lit(high))
    return parts[0] & parts[1] if len(parts) == 2 else parts[0]


def lengths_between(scope: Scope) -> Steps:
    """`expect_column_value_lengths_to_be_between`."""
    return judge(scope, within(_lengths(scope), scope["min_value"], scope["max_value"], scope))


def lengths_equal(scope: Scope) -> Steps:
    """`expect_column_value_lengths_to_equal`."""
    return judge(scope, _lengths(scope) == scope["value"])


def _lengths(scope: Scope) -> pl.Expr:
    return _text(scope).values.str.len_chars().cast(pl.Int64)


def match(scope: Scope) -> Steps:
    """`expect_column_values_to_match_regex`."""
    return judge(scope, patterns.found(_text(scope).values, scope["regex"]))


def not_match(scope: Scope) -> Steps:
    """`expect_column_values_to_not_match_regex`."""
    return judge(scope, ~patterns.found(_text(scope).values, scope["regex"]))


def match_list(scope: Scope) -> Steps:
    """`expect_column_values_to_match_regex_list`."""
    return judge(scope, _found(scope, every=scope["match_on"] == "all"))


def not_match_list(scope: Scope) -> Steps:
    """`expect_column_values_to_not_match_regex_list`."""
    return judge(scope, ~_found(scope, every=False))


def _found(scope: Scope, *, every: bool) -> pl.Expr:
    values = _text(scope).values
    result, *others = [patterns.found(values, regex) for regex in scope["regex_list"]]
    for other in others:
        result = result & other if every else result | other
    return result


def _text(scope: Scope) -> View:
    """The column, if it is text; pandas' writing of other values is left to pandas."""
    if scope.view.type is not ColumnType.TEXT:
        raise Uncompiled(f"{scope.view.type} as text")
    return scope.view
