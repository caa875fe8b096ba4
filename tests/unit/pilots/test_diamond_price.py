"""The diamonds' loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest


@pytest.fixture(scope="module")
def diamonds(example: Callable[[str, str], ModuleType]) -> ModuleType:
    return example("diamond-price", "diamonds")


@pytest.fixture(scope="module")
def table(diamonds: ModuleType) -> pl.DataFrame:
    loaded: pl.DataFrame = diamonds.load()
    return loaded


def test_every_diamond_is_there_with_price_and_properties(table: pl.DataFrame) -> None:
    assert table.height == 53_940
    assert table["price"].min() == 326
    assert table["price"].max() == 18_823
    assert {name: dtype for name, dtype in table.schema.items() if dtype == pl.String}.keys() == {
        "cut",
        "color",
        "clarity",
    }


def test_the_row_number_which_tells_the_price_is_no_column(table: pl.DataFrame) -> None:
    assert table.columns == [
        *("carat", "cut", "color", "clarity", "depth_percent", "table_percent"),
        *("price", "length_mm", "width_mm", "depth_mm"),
    ]


def test_sizes_of_zero_are_missing(table: pl.DataFrame) -> None:
    sizes = table.select("length_mm", "width_mm", "depth_mm")
    assert sizes.null_count().row(0) == (8, 7, 20)
    assert all(smallest > 0 for smallest in sizes.min().row(0))


def test_loading_writes_nothing_into_the_home_folder(
    diamonds: ModuleType, table: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert diamonds.load().equals(table)
    assert not list(tmp_path.iterdir())
