"""Great Expectations itself: its parser for suites, its engine on pandas for what has no compiled form.

The one module that runs Great Expectations; importing it costs seconds, so it
is loaded only when needed. The engine gets just the columns that it needs,
as one frame in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from pilotage.components.validation import conditions, expectations, questions, results
from pilotage.components.validation.expectations import Expectation
from pilotage.components.validation.tables import Table
from pilotage.core import errors

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation as Parsed

COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")
_MARK = "pilotage.place"


def read(items: Sequence[Any]) -> list[Expectation]:
    """The expectations as Great Expectations' parser reads them.

    Raises:
        SpecError: the suite has an expectation that Great Expectations does not know or cannot read.
    """
    found = []
    with _quiet():
        for place, item in enumerate(items, 1):
            described = _parse(item, place).configuration.to_json_dict()
            found.append(_as_read(described, place))
    return found


def _as_read(described: dict[str, Any], place: int) -> Expectation:
    """With arguments to compute with, where the normalized form is plainly right."""
    kwargs, severity = described["kwargs"], described.get("severity") or "critical"
    meta = described.get("meta") or {}
    plain = Expectation(place, described["type"], kwargs, meta, severity)
    try:
        return replace(expectations.read_one(described, place), kwargs=kwargs)
    except conditions.Unsure:
        return plain


def _parse(item: Any, place: int) -> Parsed:
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    try:
        return ExpectationConfiguration(
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations uses what Python and pandas call deprecated; nobody here can change that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run(items: Sequence[Expectation], table: Table) -> dict[int, dict[str, Any]]:
    """Results of Great Expectations' own engine, by place in the suite."""
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        suite = gx.ExpectationSuite(name=table.name)
        suite.expectations = [
            _parse({**item.described(), "meta": {**item.meta, _MARK: item.place}}, item.place)
            for item in items
        ]
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        frame = read_frame(table, _needed(items, table))
        asset = context.data_sources.add_pandas(results.SOURCE).add_dataframe_asset(table.name)
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        outcome = batch.validate(
            suite,
            result_format={
                "result_format": "BASIC",
                "partial_unexpected_count": questions.MOST_EXAMPLES,
            },
        )
        found: list[dict[str, Any]] = outcome.to_json_dict()["results"]  # type: ignore[no-untyped-call]
    return {result["expectation_config"]["meta"].pop(_MARK): _without_paths(result) for result in found}


def _needed(items: Sequence[Expectation], table: Table) -> list[str]:
    """The columns that the expectations look at; all, when one is about the table's columns or rows."""
    wanted: set[str] = set()
    for item in items:
        named = [item.kwargs[key] for key in COLUMN_KEYS if key in item.kwargs]
        if not named or item.kwargs.get("row_condition") or "column_index" in item.kwargs:
            return table.columns
        for value in named:
            wanted.update([value] if isinstance(value, str) else value)
    return [name for name in table.columns if name in wanted] or table.columns[:1]


def read_frame(table: Table, columns: Sequence[str]) -> pd.DataFrame:
    """The rows with `columns` as pandas.

    Integers are int64, or float64 with gaps; booleans bool, or object with gaps; text and dates
    object; times datetime64[us] in UTC without zone.
    """
    found = table.read(columns)
    return pd.DataFrame(
        {name: _series(values) for name, values in zip(found.column_names, found.columns, strict=True)}
    )


def _series(values: pa.ChunkedArray) -> pd.Series[Any]:
    if pa.types.is_string(values.type):
        return pd.Series(values.to_pylist(), dtype=object)
    if pa.types.is_timestamp(values.type):
        return pd.Series(values.cast(pa.timestamp("us")).to_numpy())
    series: pd.Series[Any] = values.to_pandas()
    return series


def _without_paths(result: dict[str, Any]) -> dict[str, Any]:
    """The result without the tracebacks that Great Expectations keeps, which tell paths of this machine."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: None if key == "exception_traceback" else clean(part) for key, part in value.items()}
        return [clean(part) for part in value] if isinstance(value, list) else value

    cleaned: dict[str, Any] = clean(result)
    return cleaned
