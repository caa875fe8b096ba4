"""The sample of served rows: whole rows, each with the same chance, whatever is flushed, let go or torn."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.serving import small_models
from tests.unit.serving.conftest import MakeRecorder
from tests.unit.serving.records.test_recorders import FailingStorage, served, stored

from pilotage.core import features, samples
from pilotage.core.storage import Storage
from pilotage.serving.monitor import slices
from pilotage.serving.monitor.slices import Slice
from pilotage.serving.records import recorders
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.versions.lives import Live


def pieces(storage: Storage) -> list[Slice]:
    return slices.find("flights", storage.stamps("windows/flights"))


def sample(storage: Storage, rows: int = 1000, place: int = 0) -> pa.Table:
    found = slices.read_sample(storage, pieces(storage)[place], rows)
    assert found is not None
    return found


def test_a_window_that_served_few_rows_keeps_them_all(
    recorder: Recorder, live: Live, storage: Storage
) -> None:
    rows = small_models.rows(6)
    recorder.record(served(live, rows[:4]))
    recorder.drain()
    recorder.flush()
    recorder.record(served(live, rows[4:]))
    recorder.close()
    table = sample(storage)
    assert samples.complete_below(table) == 1.0
    table = table.take(pa.array(np.argsort(table.column("id").to_pylist())))
    wanted = features.from_rows(small_models.FEATURES, rows)
    said = live.predictor.predict(wanted)
    assert said.probabilities is not None
    columns = samples.columns_of(table, small_models.FEATURES)
    for name, values in wanted.items():
        np.testing.assert_array_equal(columns[name], values)
    assert table.column("score").to_pylist() == said.score.tolist()
    assert table.column("prediction").to_pylist() == ["true" if one else "false" for one in said.predictions]
    assert table.column("probabilities").to_pylist() == said.probabilities.tolist()
    assert table.column("time").to_pylist()[0] == small_models.BEGIN
    assert table.column("id").to_pylist() == [f"f0-{place}" for place in range(6)]


def same_hour(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    return [{**row, "at": small_models.BEGIN.isoformat()} for row in small_models.rows(rows, seed)]


def test_a_busy_window_keeps_as_many_rows_as_it_may_each_with_the_same_chance(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    recorder = make_recorder(feature_sample=50)
    for seed in range(10):
        recorder.record(served(live, same_hour(200, seed)))
        recorder.drain()
        if seed % 3 == 0:
            recorder.flush()
    recorder.close()
    table = sample(storage)
    assert table.num_rows == 50
    assert len(set(table.column("id").to_pylist())) == 50
    # the 50 smallest of 2,000 uniform numbers end at about 0.025, within five standard deviations
    assert samples.complete_below(table) == pytest.approx(0.025, abs=0.018)
    batches = {name.split("-")[0] for name in table.column("id").to_pylist()}
    assert len(batches) > 5


def test_replicas_of_unlike_traffic_are_sampled_as_one(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    for rows, seed in ((1800, 1), (200, 2)):
        recorder = make_recorder(feature_sample=100)
        recorder.record(served(live, same_hour(rows, seed)))
        recorder.close()
    assert len(pieces(storage)[0].samples) == 2
    ids = sample(storage).column("id").to_pylist()
    assert sum(name.startswith("f2-") for name in ids) < len(ids) / 3


def test_a_repeated_flush_changes_nothing(make_recorder: MakeRecorder, live: Live, storage: Storage) -> None:
    recorder = make_recorder(feature_sample=5)
    recorder.record(served(live, same_hour(20)))
    recorder.drain()
    recorder.flush()
    (name,) = pieces(storage)[0].samples
    before = storage.read(name)
    recorder.flush()
    recorder.close()
    assert storage.read(name) == before
    assert [piece.samples for piece in pieces(storage)] == [[name]]


def test_a_window_that_was_let_go_goes_on_with_its_sample(
    make_recorder: MakeRecorder, live: Live, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "OPEN_WINDOWS", 1)
    recorder = make_recorder(feature_sample=8)
    rows = small_models.rows(12)
    for part in (rows[:3], rows[6:9], rows[3:6], rows[9:]):
        recorder.record(served(live, part))
        recorder.drain()
    recorder.close()
    for place in (0, 1):
        kept = sorted(sample(storage, place=place).column("id").to_pylist())
        assert kept == sorted(row["flight"] for row in rows[6 * place : 6 * place + 6])


def test_a_sample_that_left_memory_is_read_again(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    recorder = make_recorder(feature_sample=8)
    rows = small_models.rows(6)
    for part in (rows[:3], rows[3:]):
        recorder.record(served(live, part))
        recorder.drain()
        recorder.flush()
        recorder.flush()
        (held,) = (part.sample for part in recorder._open.values())
        assert held is not None
        assert held._table is None
    assert sample(storage).num_rows == 6


@pytest.mark.parametrize("harm", ["removed", "torn"])
def test_a_sample_that_was_removed_or_torn_is_begun_anew(
    make_recorder: MakeRecorder,
    live: Live,
    storage: Storage,
    caplog: pytest.LogCaptureFixture,
    harm: str,
) -> None:
    recorder = make_recorder(feature_sample=8)
    recorder.record(served(live, same_hour(3)))
    recorder.drain()
    recorder.flush()
    recorder.flush()
    (name,) = pieces(storage)[0].samples
    if harm == "removed":
        storage.delete(name)
    else:
        storage.write(name, storage.read(name)[:100])
    recorder.record(served(live, same_hour(2, seed=4)))
    recorder.close()
    assert sorted(sample(storage).column("id").to_pylist()) == ["f4-0", "f4-1"]
    assert "beginning it anew" in caplog.text


def test_nothing_is_sampled_when_it_is_turned_off(
    make_recorder: MakeRecorder, live: Live, storage: Storage
) -> None:
    recorder = make_recorder(feature_sample=0)
    recorder.record(served(live, same_hour(5)))
    recorder.close()
    assert [name for name in storage.names("windows") if "sample" in name] == []
    assert slices.read_sample(storage, pieces(storage)[0], 10) is None


class OnlyWindows(FailingStorage):
    """A storage that takes no samples for a while."""

    def write(self, name: str, data: bytes, *, sync: bool = True) -> None:
        if self.broken and "/sample-" in name:
            raise OSError("no samples today")
        Storage.write(self, name, data, sync=sync)


def test_a_sample_that_cannot_be_written_holds_up_no_window_and_is_written_later(
    installation: Any, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    storage = OnlyWindows(installation.storage)
    recorder = Recorder("flights", timedelta(hours=1), installation, storage, 1000)
    recorder.record(served(live, same_hour(4)))
    recorder.drain()
    recorder.flush()
    assert "no samples today" in caplog.text
    assert [window.rows for window in stored(storage)] == [4]
    storage.broken = False
    recorder.close()
    assert sample(storage).num_rows == 4


def test_a_regression_is_sampled_too(recorder: Recorder, live_regression: Live, storage: Storage) -> None:
    recorder.record(served(live_regression, same_hour(3)))
    recorder.close()
    table = sample(storage)
    assert table.column("probabilities").null_count == 3
    assert [float(text) for text in table.column("prediction").to_pylist()] == table.column(
        "score"
    ).to_pylist()


def test_files_that_are_no_samples_are_left_out_and_named(
    recorder: Recorder, live: Live, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.record(served(live, same_hour(3)))
    recorder.close()
    folder = pieces(storage)[0].samples[0].rpartition("/")[0]
    foreign = io.BytesIO()
    pq.write_table(pa.table({"x": [1]}), foreign)
    for data in (b"PAR1", foreign.getvalue()):
        caplog.clear()
        storage.write(f"{folder}/sample-b.parquet", data)
        assert sample(storage).num_rows == 3
        assert "sample-b.parquet is not a sample of rows" in caplog.text
    another = sample(storage)
    another = another.set_column(
        another.column_names.index("features"), "features", pa.array([1, 2, 3], pa.int64())
    )
    unlike = io.BytesIO()
    pq.write_table(another, unlike)
    storage.write(f"{folder}/sample-b.parquet", unlike.getvalue())
    assert slices.read_sample(storage, pieces(storage)[0], 10) is None
    assert "do not go together" in caplog.text


def test_a_slices_stamp_follows_its_samples(recorder: Recorder, live: Live, storage: Storage) -> None:
    recorder.record(served(live, same_hour(3)))
    recorder.close()
    (piece,) = pieces(storage)
    before = piece.stamp(storage.stamps("windows/flights"))
    storage.write(piece.samples[0], b"another")
    assert piece.stamp(storage.stamps("windows/flights")) != before
