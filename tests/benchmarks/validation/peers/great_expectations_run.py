"""Great Expectations on pandas, as its documentation has it, from a Parquet file to the result."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import great_expectations as gx  # noqa: E402
import pandas as pd  # noqa: E402
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: E402
from measures import tell  # noqa: E402


def validate(table, suite):
    items = json.loads(Path(suite).read_text())["expectations"]
    parsed = gx.ExpectationSuite(name="bench")
    parsed.expectations = [
        gx.expectations.core.__dict__[_camel(item["type"])](**item["kwargs"]) for item in items
    ]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    frame = pd.read_parquet(table)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    found = batch.validate(parsed, result_format={"result_format": "BASIC", "partial_unexpected_count": 20})
    by_key = {_key(one.expectation_config): bool(one.success) for one in found.results}
    return [by_key[_key(one.configuration)] for one in parsed.expectations]


def _camel(name):
    return "".join(word.capitalize() for word in name.split("_"))


def _key(item):
    return (item.type, *(str(item.kwargs.get(name)) for name in ("column", "column_A")))


tell(validate)
