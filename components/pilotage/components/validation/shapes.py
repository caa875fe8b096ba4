"""Expectations about the table: its columns, how many rows it has, one column against another in a row."""

from __future__ import annotations

from itertools import zip_longest

import polars as pl

from pilotage.components.validation import aggregates
from pilotage.components.validation.questions import (
    Number,
    Outcome,
    Scope,
    Steps,
    count_rows,
    counted,
    first,
    mostly,
    told,
)  # fmt: skip
from pilotage.components.validation.tables import Uncompiled, View
from pilotage.core.artifacts import ColumnType


def row_count_between(scope: Scope) -> Steps:
    """`expect_table_row_count_to_be_between`."""
    return aggregates.judge(scope, (yield count_rows())["rows"])


def row_count_equal(scope: Scope) -> Steps:
    """`expect_table_row_count_to_equal`."""
    rows = (yield count_rows())["rows"]
    return Outcome(rows == scope["value"], {"observed_value": rows})


def column_count_between(scope: Scope) -> Steps:
    """`expect_table_column_count_to_be_between`."""
    yield {}
    return aggregates.judge(scope, len(scope.table.views))


def column_count_equal(scope: Scope) -> Steps:
    """`expect_table_column_count_to_equal`."""
    yield {}
    count = len(scope.table.views)
    return Outcome(count == scope["value"], {"observed_value": count})


def column_exists(scope: Scope) -> Steps:
    """`expect_column_to_exist`."""
    yield {}
    columns, place = scope.table.columns, scope["column_index"]
    if not place:
        return Outcome(scope["column"] in columns, {})
    inside = -len(columns) <= place < len(columns)
    return Outcome(inside and columns[place] == scope["column"], {})


def columns_in_order(scope: Scope) -> Steps:
    """`expect_table_columns_to_match_ordered_list`."""
    yield {}
    found, expected = scope.table.columns, scope["column_list"]
    if expected is None or found == expected:
        return Outcome(True, {"observed_value": found})
    pairs = enumerate(zip_longest(expected, found))
    mismatched = [
        {"Expected Column Position": place, "Expected": wanted, "Found": name}
        for place, (wanted, name) in pairs
        if wanted != name
    ]
    return Outcome(False, {"observed_value": found, "details": {"mismatched": mismatched}})


def columns_as_set(scope: Scope) -> Steps:
    """`expect_table_columns_to_match_set`."""
    yield {}
    found, expected = set(scope.table.columns), set(scope["column_set"] or ())
    if found == expected:
        return Outcome(True, {"observed_value": sorted(found)})
    mismatched = {}
    if found - expected:
        mismatched["unexpected"] = sorted(found - expected)
    if expected - found:
        mismatched["missing"] = sorted(expected - found)
    success = not scope["exact_match"] and not expected - found
    return Outcome(success, {"observed_value": sorted(found), "details": {"mismatched": mismatched}})


def greater(scope: Scope) -> Steps:
    """`expect_column_pair_values_a_to_be_greater_than_b`."""
    one, other = _pair(scope, ordered=True)
    return _judge(scope, one.values >= other.values if scope["or_equal"] else one.values > other.values)


def equal(scope: Scope) -> Steps:
    """`expect_column_pair_values_to_be_equal`."""
    one, other = _pair(scope, ordered=False)
    return _judge(scope, one.values == other.values)


def _pair(scope: Scope, *, ordered: bool) -> tuple[View, View]:
    one, other = scope.table.view(scope["column_A"]), scope.table.view(scope["column_B"])
    if one is other:
        raise Uncompiled("a column against itself")
    if one.type is not other.type and not (one.is_number and other.is_number):
        raise Uncompiled(f"{one.type} against {other.type}")
    if ordered and one.type is ColumnType.BOOLEAN:
        raise Uncompiled("the order of booleans")
    objects = one.scalar == "object_"
    if ordered and objects and (one.gaps or other.gaps):
        raise Uncompiled("the order of what may be missing")
    return one, other


def _judge(scope: Scope, expected: pl.Expr) -> Steps:
    """A pair of which one is missing is unexpected, unless the arguments leave it out."""
    one, other = scope.table.view(scope["column_A"]), scope.table.view(scope["column_B"])
    there = [one.values.is_not_null(), other.values.is_not_null()]
    kept = {
        "neither": there[0] | ~there[0],
        "both_values_are_missing": there[0] | there[1],
        "either_value_is_missing": there[0] & there[1],
    }[scope["ignore_row_if"]]
    wrong = kept & ~expected.fill_null(False)
    found = yield count_rows() | {
        f"kept {scope.place}": Number(kept.sum()),
        f"unexpected {scope.place}": Number(wrong.sum()),
    }
    considered, unexpected = int(found[f"kept {scope.place}"]), int(found[f"unexpected {scope.place}"])
    listed = []
    if unexpected:
        key = f"first {scope.place}"
        rows = (yield {key: first(wrong, [_written(one).alias("a"), _written(other).alias("b")])})[key]
        listed = [[told(value) for value in row] for row in rows.iter_rows()]
    return Outcome(
        mostly(considered, unexpected, scope["mostly"]),
        counted(found["rows"], considered, unexpected, listed),
    )


def _written(view: View) -> pl.Expr:
    """Times of pairs are written by NumPy, which gives all six digits and has a word for none."""
    if view.type is not ColumnType.DATETIME:
        return view.values
    return view.values.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").fill_null("NaT")
