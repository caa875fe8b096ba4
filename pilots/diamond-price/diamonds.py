"""Prices and properties of 53,940 round cut diamonds, with missing sizes marked as missing.

The table is a member of the archive in the package `pydataset` and is read by path, for
importing that package unpacks all its tables into the user's home folder. Nothing is cached.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import tarfile
from pathlib import Path

import polars as pl

PACKAGE = "pydataset"

_MEMBER = "resources/rdata/csv/ggplot2/diamonds.csv"
_SIZES = {"x": "length_mm", "y": "width_mm", "z": "depth_mm"}
_COLUMNS = {
    "carat": pl.Float64,
    "cut": pl.String,
    "color": pl.String,
    "clarity": pl.String,
    "depth": pl.Float64,
    "table": pl.Float64,
    "price": pl.Int64,
    "x": pl.Float64,
    "y": pl.Float64,
    "z": pl.Float64,
}


def load() -> pl.DataFrame:
    """One row a diamond: its price in US dollars, weight in carats, grades and sizes.

    The source writes a size that was not measured as 0 mm; here it is null. The row number
    is dropped: the source is ordered by price.

    Raises:
        FileNotFoundError: `pydataset` is not installed.
    """
    with tarfile.open(_archive()) as archive:
        member = archive.extractfile(_MEMBER)
        if member is None:
            raise FileNotFoundError(f"`{_MEMBER}` in `{_archive()}` is not a file")
        content = member.read()
    table = pl.read_csv(content, columns=list(_COLUMNS), schema_overrides=_COLUMNS)
    measured = [pl.when(pl.col(old) > 0).then(pl.col(old)).alias(old) for old in _SIZES]
    return table.with_columns(measured).rename({**_SIZES, "depth": "depth_percent", "table": "table_percent"})


def fingerprint() -> str:
    """A text that changes when `load` would: the package's version and this file."""
    version = importlib.metadata.version(PACKAGE)
    return hashlib.sha256(version.encode() + Path(__file__).read_bytes()).hexdigest()


def _archive() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"`{PACKAGE}` is not installed; run `pip install pilotage[demo]`")
    return Path(spec.submodule_search_locations[0]) / "resources.tar.gz"
