"""The tables that everyone profiles: real flights out of New York with 40 columns, and rows drawn from them.

30 numbers and 10 categories: the features of the flight-delay pilot, what else the register of planes and
the list of airports say, and how the flight went. Nothing among them is the date. Missing values are null.
"""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from tests.benchmarks import environments

PILOT = environments.REPOSITORY / "pilots" / "flight-delay"
NUMBERS = (
    "distance", "departure_minute", "arrival_minute", "weekday", "departures_that_hour", "plane_leg_of_day",
    "plane_age_years", "plane_seats", "temperature_f", "dew_point_f", "humidity_percent",
    "wind_direction_degrees", "wind_speed_mph", "wind_gust_mph", "precipitation_inches", "pressure_mbar",
    "visibility_miles", "precipitation_6h_inches", "visibility_6h_miles", "recent_delay_minutes",
    "departure_delay", "arrival_delay", "air_minutes", "flight_number", "minute", "plane_engines",
    "dest_latitude", "dest_longitude", "dest_altitude_feet", "scheduled_hour",
)  # fmt: skip
CATEGORIES = (
    "carrier", "origin", "dest", "plane_manufacturer", "plane_engine", "tail_number", "plane_model",
    "plane_type", "dest_time_zone", "route",
)  # fmt: skip
COLUMNS = (*NUMBERS, *CATEGORIES)
TIME, TARGET, WINDOW, AT = "scheduled_at", "late", "window", "at"
ROW_GROUP = 100_000
_CHUNK = 250_000


@cache
def pilot() -> ModuleType:
    """The module of the pilot's source."""
    spec = importlib.util.spec_from_file_location("bench_flights", PILOT / "flights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def flights() -> pl.DataFrame:
    """All flights that flew, in order of time: `COLUMNS`, `TIME` and `TARGET`."""
    module = pilot()
    table: pl.DataFrame = module.load()
    folder: Path = module._data_folder()
    joined = (
        table.join(_flown(folder / "flights.csv.zip"), on="flight_id", how="left")
        .join(_planes(folder / "planes.csv"), on="tail_number", how="left")
        .join(_airports(folder / "airports.csv"), on="dest", how="left")
        .with_columns(pl.format("{}-{}", "origin", "dest").alias("route"))
        .sort(TIME, "flight_id")
    )
    assert len(joined) == len(table)
    return joined.select(
        *(pl.col(name).cast(pl.Float64) for name in NUMBERS),
        *(pl.col(name).cast(pl.String) for name in CATEGORIES),
        TIME,
        TARGET,
    )


def _flown(file: Path) -> pl.DataFrame:
    with zipfile.ZipFile(file) as archive:
        raw = pl.read_csv(archive.read("flights.csv"), null_values=["", "NA"], infer_schema_length=10_000)
    day = pl.date("year", "month", "day").dt.strftime("%Y%m%d")
    return raw.select(
        pl.format("{}-{}-{}-{}", day, "carrier", "flight", "origin").alias("flight_id"),
        pl.col("dep_delay").alias("departure_delay"),
        pl.col("arr_delay").alias("arrival_delay"),
        pl.col("air_time").alias("air_minutes"),
        pl.col("flight").alias("flight_number"),
        pl.col("minute"),
        pl.col("hour").alias("scheduled_hour"),
        pl.col("tailnum").alias("tail_number"),
    )


def _planes(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, null_values=["", "NA"], infer_schema_length=None).select(
        pl.col("tailnum").alias("tail_number"),
        pl.col("model").alias("plane_model"),
        pl.col("type").alias("plane_type"),
        pl.col("engines").alias("plane_engines"),
    )


def _airports(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, null_values=["", "NA"], infer_schema_length=None).select(
        pl.col("faa").alias("dest"),
        pl.col("lat").alias("dest_latitude"),
        pl.col("lon").alias("dest_longitude"),
        pl.col("alt").alias("dest_altitude_feet"),
        pl.col("tzone").alias("dest_time_zone"),
    )


def large(file: Path, rows: int, *, number: int) -> Path:
    """Write `rows` flights drawn with replacement, once; of the year's first half for 0, else the second."""
    if file.is_file():
        return file
    table = flights().select(COLUMNS)
    middle = len(table) // 2
    source = table[:middle] if number == 0 else table[middle:]
    generator = np.random.default_rng(number)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".writing")
    schema = source.to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with pq.ParquetWriter(beside, schema) as writer:
        for size in chunks(rows, _CHUNK):
            part = source[generator.integers(0, len(source), size)]
            writer.write_table(part.to_arrow(compat_level=pl.CompatLevel.oldest()), row_group_size=ROW_GROUP)
    beside.rename(file)
    return file


def chunks(rows: int, most: int) -> Iterator[int]:
    """Sizes of at most `most` that add up to `rows`."""
    for start in range(0, rows, most):
        yield min(most, rows - start)


def write(table: pl.DataFrame, file: Path) -> Path:
    """Write a small table for a child to read, with plain text columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.to_arrow(compat_level=pl.CompatLevel.oldest()), file)
    return file
