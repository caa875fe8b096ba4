"""How the demo's flights land, and how they are cut into windows and requests."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from pilotage.console.demo import landing
from pilotage.console.demo.landing import Landing


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Landing:
    """One month of traffic."""
    return Landing(tmp_path_factory.mktemp("landing") / "pilot", 1)


def test_the_history_lands_a_file_a_month(landed: Landing) -> None:
    files = sorted((landed.pilot.folder / "data").glob("*.parquet"))
    assert [file.stem for file in files] == ["2013-01", "2013-02", "2013-03"]
    assert pl.read_parquet(files[-1])["scheduled_at"].max() < landing.REPLAY  # type: ignore[operator]


def test_the_pilot_is_the_example_but_for_its_source(landed: Landing) -> None:
    from pilotage.console import examples
    from pilotage.core import pilots

    example = pilots.load(examples.find(landing.EXAMPLE)).spec
    data = landed.pilot.spec.data
    assert data.source == "data/*.parquet"
    assert landed.pilot.spec.model_copy(update={"data": example.data}) == example


def test_slices_are_the_monitoring_windows_and_hold_every_flight_once(landed: Landing) -> None:
    slices = landed.slices()
    assert [part.first for part in slices[1:]] == [part.last for part in slices[:-1]]
    assert (slices[0].first, slices[-1].last) == (0, landed.traffic.height)
    assert all(part.end - part.window == timedelta(days=7) for part in slices)
    times = landed.traffic["scheduled_at"]
    assert all(part.window <= times[part.first] and times[part.last - 1] < part.end for part in slices)


def test_a_request_holds_the_flights_of_one_hour(landed: Landing) -> None:
    times = landed.traffic["scheduled_at"]
    for part in landed.slices()[:2]:
        spans = list(landed.requests(part))
        assert (spans[0][0], spans[-1][1]) == (part.first, part.last)
        hours = [set(times[first:last].dt.truncate("1h").to_list()) for first, last in spans]
        assert all(len(hour) == 1 for hour in hours)
        assert len({hour.pop() for hour in hours}) == len(spans)


def test_a_slice_lands_under_the_date_of_its_last_day(landed: Landing) -> None:
    part = landed.slices()[1]
    landed.land(part)
    file = landed.pilot.folder / "data" / f"{part.end - timedelta(days=1):%Y-%m-%d}.parquet"
    assert pl.read_parquet(file).height == part.last - part.first
    assert list(Path(file.parent).glob(".*")) == []
