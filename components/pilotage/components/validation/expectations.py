"""Reading a suite's expectations without Great Expectations, whose import takes longer than most suites.

For each kind that has a compiled form this says which arguments it takes and
how Great Expectations 1.24 writes them back. Whatever is not plainly right by
these rules is `Unsure`: Great Expectations' own parser then decides, and its
message is what the user sees. Nothing is evaluated here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pilotage.components.validation import conditions
from pilotage.components.validation.conditions import Condition, Unsure

SEVERITIES = ("critical", "warning", "info")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?\Z")


@dataclass(frozen=True)
class Expectation:
    """One expectation of a suite."""

    place: int
    """From 1, in the suite."""
    type: str
    kwargs: dict[str, Any]
    """As Great Expectations writes them: normalized, without defaults."""
    meta: dict[str, Any]
    severity: str
    arguments: Mapping[str, Any] | None = None
    """With defaults, as values to compare with; None when only Great Expectations can read them."""
    condition: Condition | None = field(default=None)
    """Which rows it is about; None for all."""

    def described(self, **more: Any) -> dict[str, Any]:
        """The configuration in Great Expectations' JSON, with `more` keyword arguments."""
        return {"type": self.type, "kwargs": {**more, **self.kwargs}, "meta": self.meta,
                "severity": self.severity}  # fmt: skip


Reader = Callable[[Any], Any]
_NEEDED = object()


def _exactly(*kinds: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise Unsure
        return value

    return read


def _number(value: Any) -> float:
    if type(value) not in (int, float) or (not math.isfinite(value) and math.isnan(value)):
        raise Unsure
    return float(value)


def _share(value: Any) -> float:
    share = _number(value)
    if not 0 <= share <= 1:
        raise Unsure
    return share


def _limit(value: Any) -> float | date | datetime:
    """A number, a date or a time without zone, as pydantic reads the union of them."""
    if not isinstance(value, str):
        return _number(value)
    try:
        if _DATE.match(value):
            return date.fromisoformat(value)
        if _TIME.match(value):
            return datetime.fromisoformat(value)
    except ValueError as error:
        raise Unsure from error
    raise Unsure


def _several(each: Reader, least: int = 0) -> Reader:
    def read(values: Any) -> list[Any]:
        if not isinstance(values, list) or len(values) < least:
            raise Unsure
        return [each(value) for value in values]

    return read


def _one_of(*allowed: str) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Unsure
        return value

    return read


def _ranges(value: Any) -> dict[str, Any]:
    """Quantiles from 0 to 1 and as many pairs of limits."""
    if not isinstance(value, dict) or set(value) != {"quantiles", "value_ranges"}:
        raise Unsure
    shares = _several(_share, 1)(value["quantiles"])
    ends = _several(_several(lambda end: None if end is None else _number(end), 2))(value["value_ranges"])
    if len(shares) != len(ends) or any(len(pair) != 2 for pair in ends):
        raise Unsure
    return value


def _scalar(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        raise Unsure
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) >= 1 << 62:
        raise Unsure
    return value


_TEXT, _FLAG, _INTEGER = _exactly(str), _exactly(bool), _integer
_SET = _several(_scalar)
_COLUMN = {"column": (_TEXT, _NEEDED)}
_MOSTLY = {"mostly": (_share, 1.0)}
_MAP = _COLUMN | _MOSTLY
_STRICT = {"strict_min": (_FLAG, False), "strict_max": (_FLAG, False)}


def _between(reader: Reader) -> dict[str, tuple[Reader, Any]]:
    return {"min_value": (reader, None), "max_value": (reader, None)} | _STRICT


_PAIR = {
    "column_A": (_TEXT, _NEEDED), "column_B": (_TEXT, _NEEDED),
    "ignore_row_if": (_one_of("both_values_are_missing", "either_value_is_missing", "neither"),
                      "both_values_are_missing"),
} | _MOSTLY  # fmt: skip
_SEVERAL = {
    "column_list": (_several(_TEXT, 2), _NEEDED),
    "ignore_row_if": (_one_of("all_values_are_missing", "any_value_is_missing", "never"),
                      "all_values_are_missing"),
} | _MOSTLY  # fmt: skip

ARGUMENTS: dict[str, dict[str, tuple[Reader, Any]]] = {
    "expect_column_values_to_be_null": _MAP,
    "expect_column_values_to_not_be_null": _MAP,
    "expect_column_values_to_be_of_type": _MAP | {"type_": (_TEXT, _NEEDED)},
    "expect_column_values_to_be_in_type_list": _MAP | {"type_list": (_several(_TEXT), _NEEDED)},
    "expect_column_values_to_be_in_set": _MAP | {"value_set": (_SET, _NEEDED)},
    "expect_column_values_to_not_be_in_set": _MAP | {"value_set": (_SET, _NEEDED)},
    "expect_column_values_to_be_between": _MAP | _between(_limit),
    "expect_column_values_to_be_unique": _MAP,
    "expect_column_values_to_be_increasing": _MAP | {"strictly": (_FLAG, None)},
    "expect_column_values_to_be_decreasing": _MAP | {"strictly": (_FLAG, None)},
    "expect_column_values_to_match_regex": _MAP | {"regex": (_TEXT, "(?s).*")},
    "expect_column_values_to_not_match_regex": _MAP | {"regex": (_TEXT, _NEEDED)},
    "expect_column_values_to_match_regex_list": _MAP
    | {"regex_list": (_several(_TEXT, 1), _NEEDED), "match_on": (_one_of("any", "all"), "any")},
    "expect_column_values_to_not_match_regex_list": _MAP | {"regex_list": (_several(_TEXT, 1), _NEEDED)},
    "expect_column_value_lengths_to_be_between": _MAP | _between(_INTEGER),
    "expect_column_value_lengths_to_equal": _MAP | {"value": (_number, _NEEDED)},
    "expect_column_pair_values_a_to_be_greater_than_b": _PAIR | {"or_equal": (_FLAG, None)},
    "expect_column_pair_values_to_be_equal": _PAIR,
    "expect_compound_columns_to_be_unique": _SEVERAL,
    "expect_select_column_values_to_be_unique_within_record": _SEVERAL,
    "expect_column_mean_to_be_between": _COLUMN | _between(_limit),
    "expect_column_median_to_be_between": _COLUMN | _between(_limit),
    "expect_column_min_to_be_between": _COLUMN | _between(_limit),
    "expect_column_max_to_be_between": _COLUMN | _between(_limit),
    "expect_column_sum_to_be_between": _COLUMN | _between(_limit),
    "expect_column_stdev_to_be_between": _COLUMN | _between(_number),
    "expect_column_quantile_values_to_be_between": _COLUMN | {"quantile_ranges": (_ranges, _NEEDED)},
    "expect_column_unique_value_count_to_be_between": _COLUMN | _between(_INTEGER),
    "expect_column_proportion_of_unique_values_to_be_between": _COLUMN | _between(_number),
    "expect_column_proportion_of_non_null_values_to_be_between": _COLUMN | _between(_number),
    "expect_column_distinct_values_to_be_in_set": _COLUMN | {"value_set": (_SET, _NEEDED)},
    "expect_column_distinct_values_to_contain_set": _COLUMN | {"value_set": (_SET, _NEEDED)},
    "expect_column_distinct_values_to_equal_set": _COLUMN | {"value_set": (_SET, _NEEDED)},
    "expect_column_most_common_value_to_be_in_set": _COLUMN
    | {"value_set": (_SET, _NEEDED), "ties_okay": (_FLAG, None)},
    "expect_column_to_exist": _COLUMN | {"column_index": (_INTEGER, None)},
    "expect_table_row_count_to_be_between": _between(_INTEGER),
    "expect_table_row_count_to_equal": {"value": (_INTEGER, _NEEDED)},
    "expect_table_column_count_to_be_between": {"min_value": (_number, None), "max_value": (_number, None)},
    "expect_table_column_count_to_equal": {"value": (_INTEGER, _NEEDED)},
    "expect_table_columns_to_match_ordered_list": {"column_list": (_several(_TEXT), None)},
    "expect_table_columns_to_match_set": {
        "column_set": (_several(_TEXT), None), "exact_match": (_FLAG, True)},
}  # fmt: skip
"""Kind → argument → how to read it, and its default."""

_LIMITED = ("expect_column_values_to_be_between", "expect_column_value_lengths_to_be_between")
"""Kinds that need at least one limit."""
_ROWLESS = ("expect_table_column", "expect_column_to_exist")
"""Beginnings of kinds that are about the table, which takes no condition on rows."""


def read(items: Sequence[Any]) -> list[Expectation]:
    """The expectations of a suite.

    Raises:
        Unsure: one of them is of no kind known here, or has arguments that are not plainly right.
    """
    return [read_one(item, place) for place, item in enumerate(items, 1)]


def read_one(item: Any, place: int) -> Expectation:
    """One expectation in Great Expectations' JSON.

    Raises:
        Unsure: see `read`.
    """
    if not isinstance(item, dict) or not isinstance(item.get("type"), str) or item["type"] not in ARGUMENTS:
        raise Unsure
    kind, given = item["type"], item.get("kwargs") or {}
    severity, meta = item.get("severity") or "critical", item.get("meta") or {}
    if not isinstance(given, dict) or not isinstance(meta, dict) or severity not in SEVERITIES:
        raise Unsure
    given = dict(given)
    written, condition = conditions.read(
        given.pop("row_condition", None), given.pop("condition_parser", None)
    )
    if written and kind.startswith(_ROWLESS):
        raise Unsure
    arguments, kwargs = _arguments(kind, given)
    return Expectation(
        place=place, type=kind, kwargs=kwargs | written, meta=meta, severity=severity,
        arguments=arguments, condition=condition,
    )  # fmt: skip


def _arguments(kind: str, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to compute with, and what Great Expectations writes."""
    known = ARGUMENTS[kind]
    if not given.keys() <= known.keys():
        raise Unsure
    arguments, kwargs = {}, {}
    for name, (reader, default) in known.items():
        value = given.get(name)
        if value is None:
            if default is _NEEDED or (name in given and default is not None):
                raise Unsure
            arguments[name] = default
            continue
        arguments[name] = reader(value)
        if arguments[name] != default:
            kwargs[name] = _written(arguments[name])
    if kind in _LIMITED and arguments["min_value"] is None and arguments["max_value"] is None:
        raise Unsure
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None and high is not None and (type(low) is not type(high) or low > high):
        raise Unsure
    return arguments, kwargs


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
