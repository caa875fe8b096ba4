"""What is served is counted once, in the right window, and never in a request's way."""

from __future__ import annotations

import dataclasses
import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.serving import small_models, small_profiles

from pilotage.core import errors, features, profiles, window_files, windows
from pilotage.core.artifacts import Feature
from pilotage.core.specs import FeatureKind
from pilotage.core.storage import Storage
from pilotage.core.windows import Window
from pilotage.serving.protocols import batches
from pilotage.serving.records import recorders, sketches, tallies
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.records.servings import Served
from pilotage.serving.versions.lives import Live

MakeRecorder = Callable[..., Recorder]
ARRIVED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def served(live: Live, rows: list[dict[str, Any]], milliseconds: float = 3.0) -> Served:
    batch = batches.of_rows(live.model, rows, None)
    return Served(
        live=live,
        rows=batch.rows,
        columns=batch.columns,
        ids=batch.ids,
        times=batch.times,
        prediction=live.predictor.predict(batch.columns),
        sizes=[batch.rows],
        latencies_ms=[milliseconds],
        arrived=ARRIVED,
    )


def stored(storage: Storage) -> list[Window]:
    names = [name for name in storage.names("windows/flights") if name.endswith(windows.WINDOW_SUFFIX)]
    return [window_files.decode(storage.read(name)).window() for name in names]


def logged(storage: Storage) -> pa.Table:
    names = [name for name in storage.names("windows/flights") if "/rows-" in name]
    tables = [pq.read_table(io.BytesIO(storage.read(name))) for name in names]
    return pa.concat_tables(tables) if tables else tallies.row_schema().empty_table()


def test_rows_are_counted_in_the_windows_of_their_event_times(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    rows = small_models.rows(18)
    recorder.record(served(live, rows[:7]))
    recorder.record(served(live, rows[7:]))
    recorder.drain()
    recorder.flush()
    found = stored(storage)
    hour = timedelta(hours=1)
    assert [window.start for window in found] == [small_models.BEGIN + hour * step for step in range(3)]
    assert [window.rows for window in found] == [6, 6, 6]
    assert [window.requests for window in found] == [0, 1, 1]
    whole = windows.merge(found)
    columns = features.from_rows(small_models.FEATURES, rows)
    counts = small_profiles.count_columns(live.profile, live.features, columns)
    assert whole.features == {name: tuple(part.tolist()) for name, part in counts.items()}
    said = live.predictor.predict(columns)
    assert whole.score == tuple(live.profile.score.count(said.score).tolist())
    assert sum(whole.prediction) == 18
    assert whole.latency_quantile(0.5) == pytest.approx(3.0, rel=0.25)


def test_a_row_without_an_event_time_counts_when_it_arrives(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    row = {**small_models.rows(1)[0], "at": None}
    far = {**row, "at": "9999-01-01"}
    old = {**row, "at": "1912-04-15T00:00:00Z"}
    recorder.record(served(live, [row, far, old]))
    recorder.close()
    assert [(window.start, window.rows) for window in stored(storage)] == [(ARRIVED.replace(minute=0), 3)]


def test_windows_are_where_core_says_a_time_belongs(make_recorder: MakeRecorder) -> None:
    recorder = make_recorder(hours=7)
    time = datetime(2026, 5, 17, 3, 14, 15, 926, tzinfo=UTC)
    start = recorder._starts(np.array([time.replace(tzinfo=None)], dtype="datetime64[us]"))[0]
    assert start.item().replace(tzinfo=UTC) == windows.start_of(time, timedelta(hours=7))


def test_a_repeated_flush_changes_no_counts(recorder: Recorder, live: Live, storage: Storage) -> None:
    recorder.record(served(live, small_models.rows(3)))
    recorder.drain()
    recorder.flush()
    before = [window.model_copy(update={"updated_at": ARRIVED}) for window in stored(storage)]
    log = logged(storage)
    recorder.flush()
    recorder.close()
    assert [window.model_copy(update={"updated_at": ARRIVED}) for window in stored(storage)] == before
    assert logged(storage).equals(log)


def test_the_log_holds_ids_times_predictions_and_probabilities(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    rows = small_models.rows(4)
    recorder.record(served(live, rows))
    recorder.drain()
    recorder.flush()
    recorder.record(served(live, small_models.rows(2, seed=5)))
    recorder.close()
    table = logged(storage)
    assert table.schema.equals(tallies.row_schema())
    assert sorted(table["id"].to_pylist()) == sorted(
        row["flight"] for row in rows + small_models.rows(2, seed=5)
    )
    first = table.slice(table["id"].to_pylist().index("f0-1"), 1).to_pylist()[0]
    said = live.predictor.predict(features.from_rows(small_models.FEATURES, rows))
    assert said.probabilities is not None
    assert first == {
        "id": "f0-1",
        "time": small_models.BEGIN + timedelta(minutes=10),
        "prediction": "true" if said.predictions[1] else "false",
        "score": said.score[1],
        "probabilities": said.probabilities[1].tolist(),
    }


def test_a_regressions_log_has_numbers_and_no_probabilities(
    recorder: Recorder, live_regression: Live, storage: Storage
) -> None:
    recorder.record(served(live_regression, small_models.rows(2)))
    recorder.close()
    row = logged(storage).to_pylist()[0]
    assert float(row["prediction"]) == row["score"]
    assert row["probabilities"] is None


def test_the_log_keeps_a_stable_share_of_ids(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    recorder = make_recorder(share=0.3)
    recorder.record(served(live, small_models.rows(1000)))
    recorder.close()
    ids = logged(storage)["id"].to_pylist()
    assert 240 < len(ids) < 360
    kept = tallies.sampled([f"f0-{position}" for position in range(1000)], 0.3)
    assert kept is not None
    assert sorted(ids) == sorted(f"f0-{position}" for position in np.flatnonzero(kept))
    assert tallies.sampled(["a", None], 0.0) is None
    assert tallies.sampled(None, 1.0) is None
    every = tallies.sampled(["a", None], 1.0)
    assert every is not None
    assert every.tolist() == [True, False]


def test_full_segments_are_not_written_again(
    recorder: Recorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "SEGMENT_ROWS", 3)
    rows = [{**row, "at": ARRIVED.isoformat()} for row in small_models.rows(8)]
    for begin in range(0, 8, 2):
        recorder.record(served(live, rows[begin : begin + 2]))
        recorder.drain()
        recorder.flush()
    names = [name.rsplit("-", 1)[-1] for name in storage.names("windows/flights") if "/rows-" in name]
    assert names == ["000000.parquet", "000001.parquet"]
    assert logged(storage)["id"].to_pylist() == [row["flight"] for row in rows]


def test_what_does_not_fit_the_queue_is_dropped_and_counted(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    dropped: list[int] = []
    recorder = make_recorder(capacity=5, on_drop=dropped.append)
    recorder.record(served(live, small_models.rows(4)))
    recorder.record(served(live, small_models.rows(3)))
    recorder.record(served(live, small_models.rows(1)))
    recorder.close()
    whole = windows.merge(stored(storage))
    assert (whole.rows, whole.requests, whole.dropped, dropped) == (5, 2, 3, [3])


def test_errors_are_counted_in_the_window_counted_last(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    recorder.record(served(live, small_models.rows(8)))
    recorder.drain()
    recorder.refuse(live)
    recorder.refuse(live)
    recorder.close()
    assert [(window.rows, window.errors) for window in stored(storage)] == [(6, 0), (2, 2)]


def test_unseen_categories_are_named_most_frequent_first_and_bounded(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    row = {**small_models.rows(1)[0]}
    strange = [{**row, "carrier": f"new-{position}"} for position in range(500)]
    recorder.record(served(live, [*strange, *[{**row, "carrier": "ZZ" * 500}] * 3]))
    recorder.close()
    novel = stored(storage)[0].novel["carrier"]
    assert next(iter(novel)) in {"ZZ" * 50}
    assert len(novel) == tallies.NOVEL_KEPT


def test_windows_have_the_moments_of_each_number_and_of_the_score(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    rows = small_models.rows(18)  # three windows
    recorder.record(served(live, rows))
    recorder.drain()
    recorder.record(served(live, rows))
    recorder.close()
    columns = features.from_rows(small_models.FEATURES, rows)
    whole = windows.merge(stored(storage))
    assert whole.moments.keys() == {"distance", "holiday", "bought"}
    for name, held in whole.moments.items():
        values = profiles.as_profiled(live.features[name], columns[name])
        present = values[~np.isnan(values)]
        assert (held.count, held.min, held.max) == (2 * len(present), present.min(), present.max())
        assert held.mean == pytest.approx(present.mean())
        assert held.std == pytest.approx(present.std())
    assert whole.score_moments is not None
    assert whole.score_moments.mean == pytest.approx(live.predictor.predict(columns).score.mean())


def test_values_beyond_the_references_range_are_kept_in_sketches(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    inside, *_ = small_models.rows(1)
    far = [{**inside, "distance": float(value)} for value in (-5, 10_000, 10_000, 20_000)]
    strange = [{**inside, "carrier": f"new-{position % 7}"} for position in range(21)]
    later = {**inside, "at": (small_models.BEGIN + timedelta(hours=1)).isoformat(), "distance": 30_000.0}
    recorder.record(served(live, [inside, *far, *strange, later]))
    recorder.close()
    first, second = stored(storage)
    found = sketches.quantiles(first.outside["distance"], [0.1, 0.5, 0.75, 1.0])
    assert (found.size, found.values) == (4, (-5.0, 10_000.0, 10_000.0, 20_000.0))
    assert sketches.distinct(first.distinct["carrier"]).estimate == pytest.approx(7, abs=0.1)
    assert set(second.outside) == {"distance"}
    assert not second.distinct


def test_values_that_cannot_be_added_up_are_counted_and_spoil_nothing(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    item = served(live, small_models.rows(4))
    columns = {**item.columns, "distance": np.array([np.inf, -np.inf, 1e300, np.nan])}
    recorder.record(dataclasses.replace(item, columns=columns))
    recorder.close()
    (window,) = stored(storage)
    cells = window.features["distance"]
    assert (cells[0], cells[-2], cells[-1]) == (1, 2, 1)
    assert "distance" not in window.moments
    assert sketches.quantiles(window.outside["distance"], [1.0]).values == (1e300,)
    assert Window.model_validate_json(window.model_dump_json()) == window


def test_a_window_that_was_let_go_resumes_its_moments_and_sketches(
    recorder: Recorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "OPEN_WINDOWS", 1)
    row = {**small_models.rows(1)[0], "distance": 9_000.0, "carrier": "new"}
    other = {**row, "at": (small_models.BEGIN + timedelta(hours=1)).isoformat()}
    for rows in ([row], [other], [{**row, "carrier": "newer"}]):
        recorder.record(served(live, rows))
        recorder.drain()
    recorder.close()
    first = stored(storage)[0]
    assert first.moments["distance"].count == 2
    assert sketches.quantiles(first.outside["distance"], [0.5]).size == 2
    assert sketches.distinct(first.distinct["carrier"]).estimate == pytest.approx(2, abs=0.1)


def test_a_window_of_a_hundred_features_that_all_left_their_range_is_small(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    random = np.random.default_rng(0)
    numbers = profiles.profile_numbers(random.normal(size=5000))
    texts = profiles.profile_categories(np.array([f"v{k % 400}" for k in range(5000)], dtype=object))
    parts = {f"f{k:03}": texts if k % 5 == 0 else numbers for k in range(100)}
    kinds = [
        Feature(name=name, kind=FeatureKind.CATEGORY if part is texts else FeatureKind.NUMBER)
        for name, part in parts.items()
    ]
    profile = live.profile.model_copy(update={"features": parts})
    model = live.model.model_copy(update={"features": tuple(kinds)})
    predictor = SimpleNamespace(model=model)
    wide = dataclasses.replace(live, predictor=predictor, profile=profile)
    recorder = make_recorder(capacity=10**6)
    for _ in range(20):
        columns = {
            part.name: np.array(
                [f"a rather long new value {k}" for k in random.integers(0, 9999, 5000)], object
            )
            if part.kind is FeatureKind.CATEGORY
            else 10 + random.normal(size=5000)
            for part in kinds
        }
        item = served(live, small_models.rows(5000))
        when = np.full(5000, np.datetime64("2026-03-01T12:00"), "datetime64[us]")
        recorder.record(dataclasses.replace(item, live=wide, columns=columns, ids=None, times=when))
    recorder.close()
    (name,) = [name for name in storage.names("windows") if name.endswith(windows.WINDOW_SUFFIX)]
    data = storage.read(name)
    assert max(max(part) for part in window_files.decode(data).window().features.values()) == 100_000
    assert len(data) < 100_000


def test_memory_is_bounded_however_many_windows_there_are(
    recorder: Recorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "OPEN_WINDOWS", 2)
    rows = small_models.rows(30)
    for part in (rows, rows[::-1]):
        recorder.record(served(live, part))
        recorder.drain()
        assert len(recorder._open) <= 2
    recorder.close()
    assert [window.rows for window in stored(storage)] == [12] * 5
    assert sorted(logged(storage)["id"].to_pylist()) == sorted([row["flight"] for row in rows] * 2)


def test_rows_of_very_many_windows_are_written_without_a_sync_for_each(
    recorder: Recorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    recorder.record(served(live, small_models.rows(2000)))
    recorder.close()
    found = stored(storage)
    assert (len(found), sum(window.rows for window in found)) == (334, 2000)
    assert logged(storage).num_rows == 2000
    assert not synced


class FailingStorage(Storage):
    """A storage that is out of order for a while."""

    broken = True

    def write(self, name: str, data: bytes, *, sync: bool = True) -> None:
        if self.broken:
            raise errors.Unavailable("no space left")
        super().write(name, data, sync=sync)


def test_a_storage_that_fails_for_a_while_loses_nothing(
    installation: Any, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    storage = FailingStorage(installation.storage)
    flushed: list[bool] = []
    recorder = Recorder("flights", timedelta(hours=1), installation, storage, 1000, on_flush=flushed.append)
    recorder.record(served(live, small_models.rows(4)))
    recorder.drain()
    recorder.flush()
    assert "no space left" in caplog.text
    storage.broken = False
    recorder.close()
    assert flushed == [False, True]
    assert [window.rows for window in stored(storage)] == [4]
    assert logged(storage).num_rows == 4


def test_what_could_not_be_written_in_between_costs_no_row_that_was(
    installation: Any, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "OPEN_WINDOWS", 1)
    monkeypatch.setattr(recorders, "_MOST_UNWRITTEN", 0)
    monkeypatch.setattr(tallies, "SEGMENT_ROWS", 2)
    storage = FailingStorage(installation.storage)
    dropped: list[int] = []
    recorder = Recorder("flights", timedelta(hours=1), installation, storage, 1000, on_drop=dropped.append)
    rows = small_models.rows(12)
    for broken, part in ((False, rows[:2]), (True, rows[2:3]), (False, rows[3:4])):
        storage.broken = broken
        recorder.record(served(live, part))
        recorder.drain()
        recorder.flush()
    for part in (rows[6:7], rows[4:6]):  # another window, and the first once more
        recorder.record(served(live, part))
        recorder.drain()
    recorder.close()
    kept = [row["flight"] for row in (*rows[:2], *rows[3:7])]
    assert sorted(logged(storage)["id"].to_pylist()) == kept
    assert [(window.rows, window.dropped) for window in stored(storage)] == [(6, 1), (1, 0)]
    assert dropped == [1]


def test_a_window_that_memory_cannot_keep_and_storage_cannot_take_is_reported(
    installation: Any, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "OPEN_WINDOWS", 1)
    storage = FailingStorage(installation.storage)
    dropped: list[int] = []
    recorder = Recorder("flights", timedelta(hours=1), installation, storage, 1000, on_drop=dropped.append)
    recorder.record(served(live, small_models.rows(10)))
    recorder.drain()
    storage.broken = False
    recorder.close()
    assert dropped == [6]
    assert [(window.rows, window.dropped) for window in stored(storage)] == [(4, 6)]


def test_rows_that_cannot_be_counted_are_reported_and_the_next_are_counted(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    dropped: list[int] = []
    recorder = make_recorder(on_drop=dropped.append)
    good = served(live, small_models.rows(2))
    bad = Served(live, 1, {}, None, None, good.prediction, [1], [1.0], ARRIVED)
    recorder.record(bad)
    recorder.drain()
    recorder.record(good)
    recorder.close()
    whole = windows.merge(stored(storage))
    assert (whole.rows, whole.dropped, dropped) == (2, 1, [1])


def test_the_thread_counts_and_flushes_by_itself(installation: Any, live: Live, storage: Storage) -> None:
    quick = installation.model_copy(update={"flush_seconds": 0.05})
    recorder = Recorder("flights", timedelta(hours=1), quick, storage, 1000)
    recorder.start()
    recorder.record(served(live, small_models.rows(1)))
    waited = recorder._stopped.wait  # a sleep that a close would end
    for _ in range(100):
        if stored(storage):
            break
        waited(0.05)
    assert [window.rows for window in stored(storage)] == [1]
    recorder.close()


def test_requests_that_were_answered_together_are_counted_each_in_the_window_of_its_latest_row(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    rows = small_models.rows(13)  # ten minutes apart: six in the first hour, six in the second, one more
    together = dataclasses.replace(served(live, rows), sizes=[2, 5, 5, 1], latencies_ms=[1.0, 2.0, 3.0, 4.0])
    recorder.record(together)
    recorder.close()
    found = sorted(stored(storage), key=lambda window: window.start)
    assert [(window.rows, window.requests) for window in found] == [(6, 1), (6, 2), (1, 1)]


def test_when_many_rows_wait_whoever_brings_the_next_counts_them(
    make_recorder: MakeRecorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "COUNTED_AT_ONCE", 30)
    recorder = make_recorder()
    for seed in range(7):
        recorder.record(served(live, small_models.rows(10, seed)))
    assert recorder._waiting == 10
    recorder.flush()
    assert windows.merge(stored(storage)).rows == 60
    recorder.close()
    assert windows.merge(stored(storage)).rows == 70


def test_what_needs_the_storage_is_left_to_the_thread(
    make_recorder: MakeRecorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "COUNTED_AT_ONCE", 30)
    monkeypatch.setattr(recorders, "OPEN_WINDOWS", 3)
    recorder = make_recorder()
    for _ in range(3):
        recorder.record(served(live, small_models.rows(40)))  # seven hours
    assert recorder._waiting == 120
    assert not stored(storage)
    recorder.close()
    found = windows.merge(stored(storage))
    assert (found.rows, found.requests, found.dropped) == (120, 3, 0)


def test_threads_that_serve_count_and_flush_at_once_lose_nothing(
    make_recorder: MakeRecorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "COUNTED_AT_ONCE", 20)
    recorder = make_recorder(capacity=10**6)
    items = [served(live, small_models.rows(7, seed)) for seed in range(5)]

    def serve() -> None:
        for turn in range(100):
            recorder.record(items[turn % 5])

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        recorder.drain()
        recorder.flush()
    recorder.close()
    found = windows.merge(stored(storage))
    assert (found.rows, found.requests, found.dropped) == (2800, 400, 0)
    assert logged(storage).num_rows == 2800


def test_replicas_never_share_a_name() -> None:
    assert len({recorders.replica_id() for _ in range(100)}) == 100
    assert "/" not in recorders.replica_id()


def test_scores_of_what_was_counted_are_told_once(make_recorder: MakeRecorder, live: Live) -> None:
    told: list[tuple[int, int]] = []
    recorder = make_recorder(on_scores=lambda one, scores: told.append((one.version, len(scores))))
    recorder.record(served(live, small_models.rows(5)))
    recorder.record(served(live, small_models.rows(3)))
    recorder.close()
    assert told == [(live.version, 8)]
