"""Running a suite with Great Expectations, in memory, and putting its result into our terms.

The one module that talks to Great Expectations. Which suite is in force is not
known here, nor what follows from a failure.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from pilotage.components import snapshots
from pilotage.components.validation.suites import Suite
from pilotage.core import errors
from pilotage.core.artifacts import Check, Severity, Snapshot
from pilotage.core.settings import Settings

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

MOST_EXAMPLES = 20
"""Unexpected values that a result lists."""
_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")
_SHOWN = 5


@dataclass(frozen=True)
class Validation:
    """What a run of a suite gave."""

    suite: Suite
    """As Great Expectations read it."""
    result: dict[str, Any]
    """In Great Expectations' own format."""
    checks: tuple[Check, ...]
    """Critical failures first, then warnings, then what succeeded."""


def run(settings: Settings, snapshot: Snapshot, suite: Suite) -> Validation:
    """Hold the snapshot against the suite.

    Raises:
        SpecError: the suite has an expectation that Great Expectations does not know or cannot read.
    """
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        parsed = gx.ExpectationSuite(name=suite["name"], meta=suite.get("meta") or {})
        parsed.expectations = list(_parse(suite["expectations"]))
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        frame = read_frame(settings, snapshot, _needed(suite["expectations"], snapshot))
        asset = context.data_sources.add_pandas("snapshot").add_dataframe_asset(snapshot.pilot)
        whole = asset.add_batch_definition_whole_dataframe(snapshot.digest[:12])
        batch = whole.get_batch(batch_parameters={"dataframe": frame})
        outcome = batch.validate(
            parsed,
            result_format={"result_format": "BASIC", "partial_unexpected_count": MOST_EXAMPLES},
        )
        result: dict[str, Any] = outcome.to_json_dict()  # type: ignore[no-untyped-call]
        described: Suite = parsed.to_json_dict()
    found = [_check(item) for item in result["results"]]
    order = sorted(found, key=lambda check: (check.success, check.severity is not Severity.CRITICAL))
    return Validation(suite=described, result=_without_paths(result), checks=tuple(order))


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations uses what Python and pandas call deprecated; nobody here can change that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _parse(expectations: Sequence[Any]) -> Iterator[Expectation]:
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    for place, item in enumerate(expectations, 1):
        try:
            yield ExpectationConfiguration(
                type=item["type"],
                kwargs=item.get("kwargs") or {},
                meta=item.get("meta") or {},
                severity=FailureSeverity(item.get("severity") or "critical"),
            ).to_domain_obj()
        except (GreatExpectationsError, KeyError, TypeError, AttributeError, ValueError) as error:
            kind = item.get("type", "without `type`") if isinstance(item, dict) else repr(item)
            raise errors.SpecError(
                f"Expectation {place} of the suite, {kind}, cannot be read: {_reason(error)}.",
                remedy="Correct it as Great Expectations 1.24 has it: type, kwargs, meta, severity.",
                expectation=place,
            ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return "; ".join(line.strip() for line in str(error).splitlines()[:3] if line.strip()).rstrip(".")


def _needed(expectations: Sequence[Any], snapshot: Snapshot) -> list[str]:
    """The columns that the suite looks at; all, when an expectation is about the table's columns or rows."""
    wanted: set[str] = set()
    for item in expectations:
        kwargs = item.get("kwargs") or {}
        named = [kwargs[key] for key in _COLUMN_KEYS if key in kwargs]
        if not named and item["type"] != "expect_table_row_count_to_be_between":
            return [column.name for column in snapshot.columns]
        for value in named:
            wanted.update([value] if isinstance(value, str) else value)
        if kwargs.get("row_condition"):
            return [column.name for column in snapshot.columns]
    stored = [column.name for column in snapshot.columns]
    return [name for name in stored if name in wanted] or stored[:1]


def read_frame(settings: Settings, snapshot: Snapshot, columns: Sequence[str]) -> pd.DataFrame:
    """The rows with `columns` as pandas.

    Integers are int64, or float64 with gaps; booleans bool, or object with gaps; text and dates
    object; times datetime64[us] in UTC without zone.
    """
    table = snapshots.read_table(settings, snapshot, columns)
    return pd.DataFrame(
        {name: _series(values) for name, values in zip(table.column_names, table.columns, strict=True)}
    )


def _series(values: pa.ChunkedArray) -> pd.Series[Any]:
    if pa.types.is_string(values.type):
        return pd.Series(values.to_pylist(), dtype=object)
    if pa.types.is_timestamp(values.type):
        return pd.Series(values.cast(pa.timestamp("us")).to_numpy())
    series: pd.Series[Any] = values.to_pandas()
    return series


def _check(item: dict[str, Any]) -> Check:
    config, result = item["expectation_config"], item.get("result") or {}
    kwargs = config["kwargs"]
    severity = Severity.CRITICAL if config.get("severity") == "critical" else Severity.WARNING
    percent = result.get("unexpected_percent")
    return Check(
        expectation=config["type"],
        column=_column(kwargs),
        severity=severity,
        success=bool(item["success"]),
        observed=_observed(item, result),
        expected=_expected(kwargs),
        unexpected_percent=None if percent is None else float(percent),
    )


def _column(kwargs: dict[str, Any]) -> str | None:
    named = [kwargs[key] for key in _COLUMN_KEYS if key in kwargs]
    flat = [name for value in named for name in ([value] if isinstance(value, str) else value)]
    return ", ".join(flat) or None


def _observed(item: dict[str, Any], result: dict[str, Any]) -> str:
    problem = _exception(item.get("exception_info") or {})
    if problem:
        return problem
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


def _without_paths(result: dict[str, Any]) -> dict[str, Any]:
    """The result without the tracebacks that Great Expectations keeps, which tell paths of this machine."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: None if key == "exception_traceback" else clean(part) for key, part in value.items()}
        return [clean(part) for part in value] if isinstance(value, list) else value

    cleaned: dict[str, Any] = clean(result)
    return cleaned
