"""Ids and labels read from files that people hand in."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pilotage.console import label_files
from pilotage.core import errors


def test_csv_ids_stay_text_and_labels_get_their_type(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("id,label\n007,true\n8,false\n9,\n")
    found = label_files.read(file, ["id"], ["label"])
    assert (found.ids, found.labels, found.missing) == (["007", "8"], [True, False], 1)


def test_parquet_numbers_become_ids_and_nan_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "labels.parquet"
    pl.DataFrame({"order": [1, 2, 3], "price": [1.5, float("nan"), None]}).write_parquet(file)
    found = label_files.read(file, ["id", "order"], ["label", "price"])
    assert (found.ids, found.labels, found.missing) == (["1"], [1.5], 2)


def test_the_first_name_that_is_there_counts(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("order,id,label\na,b,1\n")
    assert label_files.read(file, ["id", "order"], ["label"]).ids == ["b"]


@pytest.mark.parametrize("content", [b"", b"PAR1"], ids=["empty", "cut"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_unreadable_file_is_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"labels{suffix}"
    file.write_bytes(content)
    with pytest.raises(errors.InputError, match="labels") as caught:
        label_files.read(file, ["id"], ["label"])
    assert caught.value.remedy


def test_a_wrong_column_suggests_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("id,lable\n1,2\n")
    with pytest.raises(errors.DataError, match="has no column `label`") as caught:
        label_files.read(file, ["id"], ["label"])
    assert "--label lable" in caught.value.remedy
