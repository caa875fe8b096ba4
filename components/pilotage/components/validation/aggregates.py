"""Expectations about a column as a whole: its mean, extremes, quantiles, how many and which different values.

Sums and means are added up in another order than NumPy's and may differ in
the last digits. Medians, quantiles and different values hold their one column
in memory. Each value by itself is the business of `values`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import polars as pl

from pilotage.components.validation.questions import (
    MOST_EXAMPLES,
    Number,
    Outcome,
    Question,
    Rows,
    Scope,
    Steps,
    column,
    count_present,
    count_rows,
    told,
    whole,
)  # fmt: skip
from pilotage.components.validation.tables import Uncompiled, View
from pilotage.core.artifacts import ColumnType

_RELATIVE, _ABSOLUTE = 1e-4, 1e-8
"""Within these of a limit a quantile counts as on it, as Great Expectations has it."""


def judge(scope: Scope, value: Any) -> Outcome:
    """Whether a value lies between the limits; none does not."""
    if value is None or value != value:
        return Outcome(False, {"observed_value": None})
    low, high = scope["min_value"], scope["max_value"]
    above = low is None or (value > low if scope.arguments.get("strict_min") else value >= low)
    below = high is None or (value < high if scope.arguments.get("strict_max") else value <= high)
    return Outcome(bool(above and below), {"observed_value": told(value)})


def _numeric(scope: Scope, name: str, number: Callable[[pl.Expr], pl.Expr]) -> Steps:
    view = scope.view
    _limits(scope, float)
    if not view.is_number:
        raise Uncompiled(f"the {name} of {view.type}")
    key = f"{name} {view.alias}"
    found = yield {key: Number(number(view.values))}
    return judge(scope, found[key])


def _limits(scope: Scope, kind: type) -> None:
    if any(end is not None and type(end) is not kind for end in (scope["min_value"], scope["max_value"])):
        raise Uncompiled("limits of another type than the column's")


def mean(scope: Scope) -> Steps:
    """`expect_column_mean_to_be_between`."""
    return _numeric(scope, "mean", lambda values: values.mean())


def total(scope: Scope) -> Steps:
    """`expect_column_sum_to_be_between`."""
    return _numeric(scope, "sum", lambda values: values.sum())


def deviation(scope: Scope) -> Steps:
    """`expect_column_stdev_to_be_between`."""
    return _numeric(scope, "stdev", lambda values: values.std(ddof=1))


def median(scope: Scope) -> Steps:
    """`expect_column_median_to_be_between`."""
    view, key = scope.view, f"median {scope.view.alias}"
    _limits(scope, float)
    if not view.is_number:
        raise Uncompiled(f"the median of {view.type}")
    value = (yield {key: whole(view.values.median())})[key].item()
    if value is not None and math.isnan(value):
        raise Uncompiled("the middle of infinities")
    return judge(scope, value)


def minimum(scope: Scope) -> Steps:
    """`expect_column_min_to_be_between`."""
    return _extreme(scope, "min", lambda values: values.min())


def maximum(scope: Scope) -> Steps:
    """`expect_column_max_to_be_between`."""
    return _extreme(scope, "max", lambda values: values.max())


def _extreme(scope: Scope, name: str, extreme: Callable[[pl.Expr], pl.Expr]) -> Steps:
    view = scope.view
    if view.is_number:
        return (yield from _numeric(scope, name, extreme))
    if view.type not in (ColumnType.DATE, ColumnType.DATETIME) or (
        view.type is ColumnType.DATE and view.gaps
    ):
        raise Uncompiled(f"the {name} of {view.type}")
    _limits(scope, date if view.type is ColumnType.DATE else datetime)
    key = f"{name} {view.alias}"
    value = (yield {key: Number(extreme(view.values))})[key]
    if value is None and view.type is ColumnType.DATETIME:
        raise Uncompiled("pandas' time that is none, which without limits passes")
    return judge(scope, value)


def quantiles(scope: Scope) -> Steps:
    """`expect_column_quantile_values_to_be_between`, by the nearest value, of two the one of even rank."""
    view, asked = scope.view, scope["quantile_ranges"]
    if not view.is_number:
        raise Uncompiled(f"the quantiles of {view.type}")
    present = yield count_present(view)
    size = present[f"present {view.alias}"]
    values: list[Any] = [None] * len(asked["quantiles"])
    if size:
        ranks = [round((size - 1) * (share * 100.0 / 100.0)) for share in asked["quantiles"]]
        ordered = view.values.drop_nulls().sort()
        key = f"quantiles {scope.place}"
        wanted = pl.struct(ordered.first().alias("least"), ordered.last().alias("most"),
                           ordered.gather(ranks).implode().alias("found"))  # fmt: skip
        found = (yield {key: whole(wanted)})[key].item()
        if math.isinf(found["least"]) or math.isinf(found["most"]):
            raise Uncompiled("quantiles among infinities")
        values = found["found"]
    details = [
        _near(value, low, high) for value, (low, high) in zip(values, asked["value_ranges"], strict=True)
    ]
    observed = {"quantiles": asked["quantiles"], "values": values}
    return Outcome(all(details), {"observed_value": observed, "details": {"success_details": details}})


def _near(value: float | None, low: float | None, high: float | None) -> bool:
    if value is None:
        return False
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    return low <= value <= high or any(
        math.isfinite(end) and abs(value - end) <= _ABSOLUTE + _RELATIVE * abs(end) for end in (low, high)
    )


def distinct_count(scope: Scope) -> Steps:
    """`expect_column_unique_value_count_to_be_between`."""
    key, asked = _distinct(scope.view)
    return judge(scope, (yield asked)[key].item())


def _distinct(view: View) -> tuple[str, dict[str, Question]]:
    key = f"values {view.alias}"
    return key, {key: whole(view.values.drop_nulls().n_unique())}


def distinct_share(scope: Scope) -> Steps:
    """`expect_column_proportion_of_unique_values_to_be_between`."""
    view = scope.view
    key, asked = _distinct(view)
    found = yield count_present(view) | asked
    present = found[f"present {view.alias}"]
    return judge(scope, found[key].item() / present if present else 0)


def present_share(scope: Scope) -> Steps:
    """`expect_column_proportion_of_non_null_values_to_be_between`."""
    view = scope.view
    found = yield count_rows() | count_present(view)
    rows = found["rows"]
    return judge(scope, found[f"present {view.alias}"] / rows if rows else 0)


def distinct_in_set(scope: Scope) -> Steps:
    """`expect_column_distinct_values_to_be_in_set`."""
    found = yield {f"others {scope.place}": _others(scope)}
    return Outcome(*_unexpected(found[f"others {scope.place}"]))


def distinct_contain(scope: Scope) -> Steps:
    """`expect_column_distinct_values_to_contain_set`."""
    found = yield {f"members {scope.place}": _members(scope)}
    return Outcome(*_missing(scope, found[f"members {scope.place}"]))


def distinct_equal(scope: Scope) -> Steps:
    """`expect_column_distinct_values_to_equal_set`."""
    found = yield {f"others {scope.place}": _others(scope), f"members {scope.place}": _members(scope)}
    inside, unexpected = _unexpected(found[f"others {scope.place}"])
    complete, missing = _missing(scope, found[f"members {scope.place}"])
    return Outcome(inside and complete, unexpected | missing)


def _inside(scope: Scope) -> tuple[View, pl.Expr]:
    view = scope.view
    if view.type is ColumnType.DATE:
        raise Uncompiled("dates in a set")
    return view, view.inside(scope["value_set"])


def _others(scope: Scope) -> Rows:
    """How many different values are outside the set, and the least of them."""
    view, inside = _inside(scope)

    def build(frame: pl.LazyFrame) -> pl.LazyFrame:
        outside = frame.filter(~inside).select(view.values.alias("value")).unique()
        value = pl.col("value")
        return outside.select(pl.len().alias("count"), value.bottom_k(MOST_EXAMPLES).sort().implode())

    return Rows(build)


def _members(scope: Scope) -> Rows:
    """The values of the set that are in the column."""
    view, inside = _inside(scope)
    return Rows(lambda frame: frame.filter(inside).select(view.values.alias("value")).unique())


def _unexpected(found: pl.DataFrame) -> tuple[bool, dict[str, Any]]:
    count, listed = found.row(0)
    return count == 0, {
        "observed_value": None, "unexpected_count": count, "partial_unexpected_list": listed,
    }  # fmt: skip


def _missing(scope: Scope, found: pl.DataFrame) -> tuple[bool, dict[str, Any]]:
    present = set(found.to_series(0).to_list())
    missing = [value for value in dict.fromkeys(scope["value_set"]) if value not in present]
    return not missing, {
        "observed_value": None, "missing_count": len(missing),
        "partial_missing_list": [told(value) for value in missing[:MOST_EXAMPLES]],
    }  # fmt: skip


def most_common(scope: Scope) -> Steps:
    """`expect_column_most_common_value_to_be_in_set`."""
    view, key = scope.view, f"modes {scope.place}"
    if not view.is_number and view.type is not ColumnType.TEXT:
        raise Uncompiled(f"the most common {view.type}")

    def build(frame: pl.LazyFrame) -> pl.LazyFrame:
        sizes = frame.select(view.values.alias("value")).drop_nulls().group_by("value").len("size")
        return sizes.filter(pl.col("size") == pl.col("size").max()).select("value").sort("value")

    modes = column((yield {key: Rows(build)})[key])
    common = len(set(scope["value_set"]).intersection(modes))
    success = common > 0 if scope["ties_okay"] else len(modes) == 1 and common == 1
    return Outcome(success, {"observed_value": modes})
