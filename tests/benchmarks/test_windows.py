"""What the monitor needs for a month: hourly windows of ten replicas, 100 features, read, added up, compared.

The windows are what a recorder writes of drifted traffic, sketches and new categories included; the
comparison's calibration is made once per version, and is not part of what is measured. Processor
time is printed beside the clock's, because other work on the machine stretches the latter.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from pilotage.core import moments, profiles, window_files, windows
from pilotage.core.profiles import NumberProfile, ReferenceProfile
from pilotage.core.sheets import Layout, Sheet, Totals, micros
from pilotage.core.specs import Drift
from pilotage.core.storage import Storage
from pilotage.serving.monitor import slices
from pilotage.serving.monitor.drift import calibrations, comparisons
from pilotage.serving.monitor.drift.calibrations import Setup
from pilotage.serving.monitor.drift.columns import columns_of
from pilotage.serving.records import sketches

NUMBERS, CATEGORIES = 80, 20
HOURS, REPLICAS, ROWS = 720, 10, 5_000
OUTSIDE = 5
"""Columns that leave the reference's range in each window; as many have new categories."""
START = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 5
MOST_BYTES = 100_000
MOST_SECONDS = 1.0


def reference(draw: np.random.Generator) -> ReferenceProfile:
    """A profile whose numbers and categories have all the cells that they may."""
    texts = np.array([f"v{place}" for place in draw.zipf(1.3, 20_000) % 400], dtype=object)
    features: dict[str, profiles.Profile] = {
        **{f"number_{place}": profiles.profile_numbers(draw.normal(size=20_000)) for place in range(NUMBERS)},
        **{f"category_{place}": profiles.profile_categories(texts) for place in range(CATEGORIES)},
    }
    score = profiles.profile_numbers(draw.random(20_000))
    return ReferenceProfile(
        pilot="month", snapshot="0" * 64, rows=20_000, features=features, score=score, prediction=None
    )


def one_window(profile: ReferenceProfile, layout: Layout, draw: np.random.Generator) -> Sheet:
    """What one replica counts in an hour."""
    counts = np.zeros(layout.cells, np.int64)
    for name, part in profile.features.items():
        shares = np.array(part.counts, float)
        counts[layout.places[name]] = draw.multinomial(ROWS, shares / shares.sum())
    counts[layout.of_score] = draw.multinomial(ROWS, np.array(profile.score.counts) / 20_000)
    measured = moments.empty(len(layout.features) + 1)
    held = [place for place, part in enumerate(profile.features.values()) if isinstance(part, NumberProfile)]
    measured[held] = moments.measure(draw.normal(size=(len(held), 500)))[0]
    numbers, texts = sketches.Numbers(), sketches.Texts()
    numbers.add(draw.normal(10, 1, 200))
    texts.add(f"new {place}" for place in range(30))
    return Sheet(
        layout,
        Totals(0, 0, 0, rows=ROWS, requests=ROWS),
        counts,
        measured,
        novel={f"category_{place}": {f"new {k}": 3 for k in range(20)} for place in range(OUTSIDE)},
        outside={f"number_{place}": (numbers.data(),) for place in range(OUTSIDE)},
        distinct={f"category_{place}": (texts.data(),) for place in range(OUTSIDE)},
    )


def write_month(storage: Storage, profile: ReferenceProfile) -> int:
    """The files of a month; returns the bytes of the largest."""
    draw = np.random.default_rng(0)
    layout = Layout.of_profile(profile, "month", 1)
    made = [one_window(profile, layout, draw) for _ in range(20)]
    largest = 0
    for hour in range(HOURS):
        start = START + timedelta(hours=hour)
        for replica in range(REPLICAS):
            sheet = made[(hour * REPLICAS + replica) % len(made)]
            sheet.totals.start, sheet.totals.end = micros(start), micros(start + timedelta(hours=1))
            data = window_files.encode(sheet)
            largest = max(largest, len(data))
            storage.write(windows.window_name("month", 1, start, f"r{replica}"), data, sync=False)
    return largest


def test_a_month_of_windows_is_compared_in_under_a_second(tmp_path: Path) -> None:
    profile = reference(np.random.default_rng(1))
    storage = Storage(str(tmp_path))
    largest = write_month(storage, profile)
    columns = columns_of(profile)
    rows = HOURS * REPLICAS * ROWS
    calibration = calibrations.calibrate(columns, Setup(calibrations.size_class(rows), 0.01, 0, 7))
    best = np.full(6, np.inf)
    for _ in range(ROUNDS):
        began, processor = [time.perf_counter()], time.process_time()
        stamps = storage.stamps("windows/month")
        began.append(time.perf_counter())
        pieces = slices.find("month", stamps)
        began.append(time.perf_counter())
        window = slices.merged(storage, pieces)
        began.append(time.perf_counter())
        assert window is not None
        found = comparisons.compare(columns, window, calibration, Drift())
        began.append(time.perf_counter())
        processor = time.process_time() - processor
        assert (window.rows, len(found.features)) == (rows, NUMBERS + CATEGORIES)
        measured = [*np.diff(began), began[-1] - began[0], processor]
        best = np.minimum(best, measured)
    names = ("list", "group", "read and add up", "compare", "in all", "processor time")
    print(f"\n{HOURS * REPLICAS} windows of {NUMBERS + CATEGORIES} features, at most {largest:,} bytes each")
    for name, seconds in zip(names, best, strict=True):
        print(f"  {name:16} {seconds:.3f} s")
    assert largest < MOST_BYTES
    assert best[4] < MOST_SECONDS
