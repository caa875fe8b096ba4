"""pandera on Polars: built-in checks where there is one, a check of one value for a share or an aggregate."""

from __future__ import annotations

import json
from pathlib import Path

import pandera.polars as pa
import polars as pl
from measures import tell
from pandera.errors import SchemaErrors


def validate(table, suite):
    kwargs = [item["kwargs"] for item in json.loads(Path(suite).read_text())["expectations"]]
    schema = build(kwargs)
    failed = set()
    try:
        schema.validate(pl.read_parquet(table), lazy=True)
    except SchemaErrors as errors:
        failed = {_place(row) for row in errors.failure_cases.select("column", "check").unique().iter_rows()}
    return [place not in failed for place in range(len(kwargs))]


def _place(row):
    column, check = row
    if str(check).startswith("v"):
        return int(str(check)[1:])
    return {"not_nullable": 1, "field_uniqueness": 2 if column == "key" else 3, "dtype('Int64')": 21}[check]


def one(place, expression):
    """A check of a single value over the whole column."""
    return pa.Check(lambda data: data.lazyframe.select(expression(pl.col(data.key))), error=f"v{place}")


def build(kwargs):
    number, text = pl.Float64, pl.String
    columns = {
        f"f{i}": pa.Column(number, nullable=True, checks=[
            one(4 + i, lambda c: c.is_not_null().mean() >= 0.95),
            one(8 + i, lambda c, i=i: c.is_between(i - 6, i + 6).mean() >= 0.99),
        ]) for i in range(4)
    }  # fmt: skip
    columns |= {
        "f4": pa.Column(number, checks=[one(12, lambda c: c.mean().is_between(3.9, 4.1)),
                                        one(16, lambda c: c.median().is_between(3.9, 4.1))]),
        "f5": pa.Column(number, checks=one(13, lambda c: c.std().is_between(2.0, 2.5))),
        "f6": pa.Column(number, checks=one(14, lambda c: c.min() >= -20)),
        "f7": pa.Column(number, checks=one(15, lambda c: c.max() <= 10)),
        "i0": pa.Column(pl.Int64, checks=one(17, lambda c: c.sum() >= 0)),
        "i1": pa.Column(pl.Int64, checks=one(18, lambda c: c.n_unique().is_between(50, 100))),
        "i2": pa.Column(pl.Int64, checks=pa.Check.in_range(0, 999, error="v19")),
        "i3": pa.Column(pl.Int64, checks=pa.Check.in_range(0, 9_989, error="v20")),
        "i4": pa.Column(pl.Int64),
        "key": pa.Column(pl.Int64, unique=True),
        "mail": pa.Column(text, unique=True, checks=[
            pa.Check.str_matches(kwargs[27]["regex"], error="v27"),
            pa.Check.str_length(5, 40, error="v28"),
        ]),
        "flag": pa.Column(pl.Boolean),
    }  # fmt: skip
    for i in range(4):
        checks = [pa.Check.isin(kwargs[22 + i]["value_set"], error=f"v{22 + i}")]
        if i == 0:
            checks.append(one(26, lambda c: pl.lit("red").is_in(c.unique().implode())))
        columns[f"c{i}"] = pa.Column(text, checks=checks)
    table = [
        pa.Check(lambda data: data.lazyframe.select(pl.len() >= kwargs[0]["min_value"]), error="v0"),
        pa.Check(
            lambda data: data.lazyframe.select((pl.col("i4") >= pl.col("i0")).mean() >= 0.9), error="v29"
        ),
    ]
    return pa.DataFrameSchema(columns, checks=table)


tell(validate)
