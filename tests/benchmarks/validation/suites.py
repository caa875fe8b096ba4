"""The table and the suite that every contender validates.

Twenty columns: eight numbers, of which four have gaps, five integers, a key, four categories, an
address and a flag. Thirty expectations of the kinds that suites mostly use, three of which fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

COLOURS = ["red", "green", "blue", "grey"]
FAILING = 3
ROW_GROUP = 65_536
"""As snapshots are written."""


def write_table(path: Path, rows: int) -> None:
    """The same rows for the same number of rows."""
    draw = np.random.default_rng(7)
    columns: dict[str, Any] = {f"f{i}": draw.normal(i, 1 + i / 4, rows).round(6) for i in range(8)}
    columns |= {f"i{i}": draw.integers(0, 10 ** (i + 1), rows) for i in range(5)}
    columns["key"] = np.arange(rows)
    columns |= {f"c{i}": np.array(COLOURS)[draw.integers(0, 4 if i == 3 else 3, rows)] for i in range(4)}
    columns["mail"] = [f"user{number}@example.org" for number in draw.permutation(rows)]
    columns["flag"] = draw.random(rows) < 0.5
    frame = pl.DataFrame(columns)
    gaps = [
        pl.when(pl.Series(draw.random(rows) >= 0.03)).then(pl.col(f"f{i}")).alias(f"f{i}") for i in range(4)
    ]
    frame.with_columns(gaps).write_parquet(path, row_group_size=ROW_GROUP)


def _one(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": "critical"}


def suite(rows: int) -> dict[str, Any]:
    """The suite in Great Expectations' JSON."""
    values, column = "column_values_to", "column"
    listed = [
        _one("table_row_count_to_be_between", min_value=rows // 2, max_value=rows * 2),
        _one(f"{values}_not_be_null", column="key"),
        _one(f"{values}_be_unique", column="key"),
        _one(f"{values}_be_unique", column="mail"),
        *(_one(f"{values}_not_be_null", column=f"f{i}", mostly=0.95) for i in range(4)),
        *(
            _one(f"{values}_be_between", column=f"f{i}", min_value=i - 6, max_value=i + 6, mostly=0.99)
            for i in range(4)
        ),
        _one(f"{column}_mean_to_be_between", column="f4", min_value=3.9, max_value=4.1),
        _one(f"{column}_stdev_to_be_between", column="f5", min_value=2.0, max_value=2.5),
        _one(f"{column}_min_to_be_between", column="f6", min_value=-20),
        _one(f"{column}_max_to_be_between", column="f7", max_value=10),
        _one(f"{column}_median_to_be_between", column="f4", min_value=3.9, max_value=4.1),
        _one(f"{column}_sum_to_be_between", column="i0", min_value=0),
        _one(f"{column}_unique_value_count_to_be_between", column="i1", min_value=50, max_value=100),
        _one(f"{values}_be_between", column="i2", min_value=0, max_value=999),
        _one(f"{values}_be_between", column="i3", min_value=0, max_value=9_989),
        _one(f"{values}_be_in_type_list", column="i4", type_list=["int64"]),
        *(_one(f"{values}_be_in_set", column=f"c{i}", value_set=COLOURS[:3]) for i in range(4)),
        _one(f"{column}_distinct_values_to_contain_set", column="c0", value_set=["red", "blue"]),
        _one(f"{values}_match_regex", column="mail", regex=r"^[a-z0-9]+@[a-z]+\.org$"),
        _one("column_value_lengths_to_be_between", column="mail", min_value=5, max_value=40),
        _one(
            "column_pair_values_a_to_be_greater_than_b",
            column_A="i4",
            column_B="i0",
            or_equal=True,
            mostly=0.9,
        ),
    ]
    return {"name": "bench", "expectations": listed}
