"""Windows add up whatever the order, and their names sort by time."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pilotage.core import moments, windows
from pilotage.core.specs import Monitor

START = datetime(2013, 1, 1, tzinfo=UTC)


def measured(values: list[float]) -> windows.WindowMoments:
    count, mean, squares, low, high = moments.measure(np.array([values]))[0, 0].tolist()
    return windows.WindowMoments(count=int(count), mean=mean, squares=squares, min=low, max=high)


MEASURED = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5).map(measured)
SKETCHES = st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=3).map(
    lambda parts: tuple(sorted(parts))
)
COUNTS = st.lists(st.integers(0, 1000), min_size=3, max_size=3).map(tuple)


@st.composite
def drawn(draw: st.DrawFn) -> windows.Window:
    start = START + timedelta(hours=draw(st.integers(0, 5)))
    return windows.Window(
        pilot="a",
        version=1,
        start=start,
        end=start + timedelta(hours=1),
        rows=draw(st.integers(0, 100)),
        requests=draw(st.integers(0, 100)),
        errors=draw(st.integers(0, 100)),
        dropped=draw(st.integers(0, 100)),
        features=draw(st.dictionaries(st.sampled_from("xyz"), COUNTS)),
        score=draw(COUNTS | st.just(())),
        prediction=draw(COUNTS | st.just(())),
        latency=draw(COUNTS | st.just(())),
        novel=draw(
            st.dictionaries(st.sampled_from("xy"), st.dictionaries(st.text(max_size=2), st.integers(1, 9)))
        ),
        moments=draw(st.dictionaries(st.sampled_from("xyz"), MEASURED)),
        score_moments=draw(MEASURED | st.none()),
        outside=draw(st.dictionaries(st.sampled_from("xy"), SKETCHES)),
        distinct=draw(st.dictionaries(st.sampled_from("xy"), SKETCHES)),
        updated_at=start,
    )


def alike(one: windows.Window, two: windows.Window) -> bool:
    """Whether they are equal but for rounding of means and squares."""

    def exact(window: windows.Window) -> windows.Window:
        held: dict[str, object] = {"moments": {}, "score_moments": None}
        return window.model_copy(update=held)

    def close(a: windows.WindowMoments | None, b: windows.WindowMoments | None) -> bool:
        if a is None or b is None:
            return a is b
        assert (a.count, a.min, a.max) == (b.count, b.min, b.max)
        size = max(abs(a.min), abs(a.max))
        return math.isclose(a.mean, b.mean, rel_tol=1e-9, abs_tol=1e-12 * size) and math.isclose(
            a.squares, b.squares, rel_tol=1e-9, abs_tol=1e-12 * a.count * size**2
        )

    return (
        exact(one) == exact(two)
        and one.moments.keys() == two.moments.keys()
        and all(close(part, two.moments[name]) for name, part in one.moments.items())
        and close(one.score_moments, two.score_moments)
    )


@given(drawn(), drawn(), drawn())
def test_merging_is_associative_and_commutative(
    a: windows.Window, b: windows.Window, c: windows.Window
) -> None:
    assert a.merged(b) == b.merged(a)
    assert alike(a.merged(b).merged(c), a.merged(b.merged(c)))
    assert alike(windows.merge([a, b, c]), windows.merge([c, a, b]))


def test_moments_that_are_merged_are_those_of_all_values() -> None:
    values = np.random.default_rng(0).normal(1.7e9, 1e5, 1000)  # times in seconds since 1970
    whole, one, two = (measured(part.tolist()) for part in (values, values[:300], values[300:]))
    merged = one.merged(two)
    assert (merged.count, merged.min, merged.max) == (1000, whole.min, whole.max)
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12)
    assert merged.std == pytest.approx(float(values.std()), rel=1e-6)


@given(drawn())
def test_a_window_reads_back_the_same(window: windows.Window) -> None:
    assert windows.Window.model_validate_json(window.model_dump_json()) == window


def test_windows_of_different_versions_do_not_add_up() -> None:
    one = windows.Window(pilot="a", version=1, start=START, end=START, updated_at=START)
    with pytest.raises(ValueError, match="do not add up"):
        one.merged(one.model_copy(update={"version": 2}))


def test_counts_of_different_cells_do_not_add_up() -> None:
    one = windows.Window(pilot="a", version=1, start=START, end=START, updated_at=START, score=(1, 2))
    with pytest.raises(ValueError, match="2 and 3 cells"):
        one.merged(one.model_copy(update={"score": (1, 2, 3)}))


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)), st.sampled_from([60, 3600, 86400, 604800]))  # noqa: DTZ001
def test_a_time_is_in_the_window_that_begins_before_it(time: datetime, seconds: int) -> None:
    aware = time.replace(tzinfo=UTC)
    start = windows.start_of(aware, timedelta(seconds=seconds))
    assert start <= aware < start + timedelta(seconds=seconds)
    assert start.timestamp() % seconds == 0


def test_latencies_have_quantiles_within_a_quarter() -> None:
    latency = tuple(windows.count_latencies([1.0] * 98 + [100.0, 200.0]).tolist())
    window = windows.Window(pilot="a", version=1, start=START, end=START, updated_at=START, latency=latency)
    assert window.latency_quantile(0.5) == pytest.approx(1.0, rel=0.25)
    assert window.latency_quantile(0.99) == pytest.approx(100.0, rel=0.25)
    assert window.model_copy(update={"latency": ()}).latency_quantile(0.5) is None


def test_names_sort_by_time() -> None:
    names = [windows.window_name("a", 1, START + timedelta(hours=hour), "r") for hour in range(30)]
    assert names == sorted(names)


def test_no_window_is_shorter_than_names_can_tell_apart() -> None:
    with pytest.raises(ValidationError, match="greater than or equal"):
        Monitor.model_validate({"window": "0.5s"})
    length = Monitor.model_validate({"window": "1s"}).window
    names = [windows.window_name("a", 1, START + step * length, "r") for step in range(5)]
    assert len(set(names)) == 5
