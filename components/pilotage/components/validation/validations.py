"""Running a suite on a table, and putting its result into our terms.

Great Expectations is the language of suites and the format of results. What
has a compiled form is evaluated by `plans`, and then Great Expectations is not
even imported; the rest by `fallbacks`. Which suite is in force is not known
here, nor what follows from a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pilotage.components.validation import conditions, expectations, plans, results, tables
from pilotage.components.validation.expectations import Expectation
from pilotage.components.validation.tables import Table
from pilotage.core.artifacts import Check, Severity, Snapshot
from pilotage.core.settings import Settings

if TYPE_CHECKING:
    from pilotage.components.validation.suites import Suite

_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")
_SHOWN = 5


@dataclass(frozen=True)
class Validation:
    """What a run of a suite gave."""

    suite: Suite
    """As Great Expectations reads it."""
    result: dict[str, Any]
    """In Great Expectations' own format; `results.to_great_expectations` makes its object of it."""
    checks: tuple[Check, ...]
    """Critical failures first, then warnings, then what succeeded."""


def run(settings: Settings, snapshot: Snapshot, suite: Suite) -> Validation:
    """Hold the snapshot against the suite.

    Raises:
        SpecError: the suite has an expectation that Great Expectations does not know or cannot read.
        NotFound: the storage does not hold the snapshot.
    """
    return run_on(tables.of_snapshot(settings, snapshot), suite)


def run_on(table: Table, suite: Suite) -> Validation:
    """Hold any table against the suite.

    Raises:
        SpecError: see `run`.
    """
    items = _read(suite["expectations"])
    findings = plans.run(items, table)
    by_place = {item.place: item for item in items}
    found = {
        place: results.of_expectation(by_place[place], outcome, table.name)
        for place, outcome in findings.outcomes.items()
    }
    if findings.left:
        from pilotage.components.validation import fallbacks

        found |= fallbacks.run(findings.left, table)
    result = results.of_suite(suite["name"], table.name, items, found)
    checks = [_check(item, table.columns) for item in result["results"]]
    order = sorted(checks, key=lambda check: (check.success, check.severity is not Severity.CRITICAL))
    meta = suite.get("meta")
    described = results.described(suite["name"], meta if isinstance(meta, dict) else {}, items)
    return Validation(suite=described, result=result, checks=tuple(order))


def _read(items: list[Any]) -> list[Expectation]:
    try:
        return expectations.read(items)
    except conditions.Unsure:
        from pilotage.components.validation import fallbacks

        return fallbacks.read(items)


def _check(item: dict[str, Any], columns: list[str]) -> Check:
    config, result = item["expectation_config"], item.get("result") or {}
    kwargs = config["kwargs"]
    severity = Severity.CRITICAL if config.get("severity") == "critical" else Severity.WARNING
    percent = result.get("unexpected_percent")
    return Check(
        expectation=config["type"],
        column=_column(kwargs),
        severity=severity,
        success=bool(item["success"]),
        observed=_observed(item, result, columns),
        expected=_expected(kwargs),
        unexpected_percent=None if percent is None else float(percent),
    )


def _column(kwargs: dict[str, Any]) -> str | None:
    named = [kwargs[key] for key in _COLUMN_KEYS if key in kwargs]
    flat = [name for value in named for name in ([value] if isinstance(value, str) else value)]
    return ", ".join(flat) or None


def _observed(item: dict[str, Any], result: dict[str, Any], columns: list[str]) -> str:
    problem = _exception(item.get("exception_info") or {})
    if problem:
        missing = item["expectation_config"]["kwargs"].get("column", "") not in ("", *columns)
        return "there is no such column" if missing else problem
    count = result.get("unexpected_count")
    if count is not None:
        share = result.get("unexpected_percent") or 0.0
        listed = result.get("partial_unexpected_list") or []
        examples = list(dict.fromkeys(str(value) for value in listed if value is not None))
        such = f", such as {', '.join(examples[:_SHOWN])}" if examples else ""
        return "nothing unexpected" if not count else f"{count:,} unexpected values ({share:.3g} %){such}"
    value = result.get("observed_value")
    return f"{value:,}" if isinstance(value, int) else str("" if value is None else value)[:200]


def _exception(info: dict[str, Any]) -> str:
    """The first message of an exception, which Great Expectations nests by metric or not."""
    if "exception_message" in info:
        return str(info["exception_message"] or "")
    nested = (value for value in info.values() if isinstance(value, dict))
    return next((str(value.get("exception_message") or "") for value in nested), "")


def _expected(kwargs: dict[str, Any]) -> str:
    parts = []
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is not None or high is not None:
        parts.append(_limits(low, high))
    for key in ("value_set", "type_list"):
        if key in kwargs:
            values = [str(value) for value in kwargs[key]]
            more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
            parts.append(f"one of {', '.join(values[:_SHOWN])}{more}")
    known = {*_COLUMN_KEYS, "min_value", "max_value", "value_set", "type_list", "mostly", "batch_id"}
    others = ((key, value) for key, value in kwargs.items() if key not in known)
    parts.extend(f"{key} {value}"[:120] for key, value in others if value not in (None, False))
    if kwargs.get("mostly") is not None:
        parts.append(f"for at least {kwargs['mostly'] * 100:.4g} %")
    return ", ".join(parts) or "every value"


def _limits(low: object, high: object) -> str:
    if high is None:
        return f"at least {_short(low)}"
    return f"at most {_short(high)}" if low is None else f"{_short(low)} to {_short(high)}"


def _short(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, (int, float)) else str(value)
