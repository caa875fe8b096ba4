"""Results in Great Expectations' JSON, as `validation.json` keeps them, and back to its objects.

The dictionaries are what `ExpectationSuiteValidationResult.to_json_dict()`
gives, so Great Expectations' Data Docs render them. Nothing is evaluated here,
and only `to_great_expectations` imports Great Expectations.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pilotage.components.validation.expectations import Expectation
from pilotage.components.validation.questions import Outcome

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

SOURCE = "snapshot"
"""Great Expectations' data source that a table is said to come from."""
_FINE = {"raised_exception": False, "exception_traceback": None, "exception_message": None}


@cache
def version() -> str:
    """The installed version of Great Expectations."""
    return metadata.version("great-expectations")


def of_expectation(item: Expectation, outcome: Outcome, asset: str) -> dict[str, Any]:
    """The result of one expectation on data asset `asset`."""
    return {
        "success": outcome.success,
        "expectation_config": item.described(batch_id=f"{SOURCE}-{asset}"),
        "result": outcome.result,
        "meta": {},
        "exception_info": dict(_FINE),
    }


def of_suite(
    name: str, asset: str, items: Iterable[Expectation], found: Mapping[int, dict[str, Any]]
) -> dict[str, Any]:
    """The result of a suite from those of its expectations, by place."""
    results = [found[item.place] for item in _in_order(items, found)]
    met = sum(bool(result["success"]) for result in results)
    return {
        "success": met == len(results),
        "results": results,
        "suite_name": name,
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": len(results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(results) - met,
            "success_percent": met / len(results) * 100 if results else None,
        },
        "meta": _meta(asset),
        "id": None,
    }


def _in_order(items: Iterable[Expectation], found: Mapping[int, dict[str, Any]]) -> list[Expectation]:
    """Great Expectations' order: what a metric failed on first, then column by column as they come."""
    columns: dict[Any, list[Expectation]] = {}
    for item in items:
        columns.setdefault(item.kwargs.get("column"), []).append(item)
    ordered = [item for column in columns.values() for item in column]
    return sorted(ordered, key=lambda item: "raised_exception" in found[item.place]["exception_info"])


def _meta(asset: str) -> dict[str, Any]:
    return {
        "great_expectations_version": version(),
        "batch_spec": {"batch_data": "PandasDataFrame"},
        "batch_markers": {"ge_load_time": datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")},
        "active_batch_definition": {
            "datasource_name": SOURCE,
            "data_connector_name": "fluent",
            "data_asset_name": asset,
            "batch_identifiers": {"dataframe": "<DATAFRAME>"},
        },
    }


def described(name: str, meta: Mapping[str, Any], items: Iterable[Expectation]) -> dict[str, Any]:
    """The suite as Great Expectations writes it."""
    mark = {} if {"great_expectations_version", "great_expectations.__version__"} & meta.keys() else {
        "great_expectations_version": version()}  # fmt: skip
    return {
        "name": name,
        "id": None,
        "expectations": [item.described() for item in items],
        "meta": {**meta, **mark},
        "notes": None,
    }


def to_great_expectations(result: Mapping[str, Any]) -> ExpectationSuiteValidationResult:
    """Great Expectations' own object of a suite's result, for its Data Docs and actions."""
    from great_expectations.core.expectation_validation_result import (
        expectationSuiteValidationResultSchema,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of conditions as strings, which suites may have
        found: ExpectationSuiteValidationResult = expectationSuiteValidationResultSchema.load(dict(result))
    return found
