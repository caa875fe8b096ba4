"""A replica that is killed while it writes leaves whole files, and the next goes on beside them."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.serving import small_models
from tests.unit.serving.conftest import MakeRecorder
from tests.unit.serving.records.test_recorders import served

from pilotage.core import window_files, windows
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.serving.monitor import slices
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.versions.lives import Live

DIES = """
import os, pathlib, pickle, sys
from datetime import timedelta
from pilotage.core import settings
from pilotage.core.storage import Storage
from pilotage.serving.records.recorders import Recorder

home, items, renames = sys.argv[1], pickle.load(open(sys.argv[2], "rb")), int(sys.argv[3])
given = settings.load(home=home)
recorder = Recorder("flights", timedelta(hours=1), given, Storage(given.storage), 1000)
left = [renames]
replace = pathlib.Path.replace

def rename(self, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    return replace(self, target)

pathlib.Path.replace = rename
for item in items:
    recorder.record(item)
    recorder.drain()
    recorder.flush()
"""


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize("renames", range(3, 6), ids=["row log", "sample", "window"])
def test_a_kill_while_a_file_is_written_leaves_what_was_flushed_before(
    installation: Settings,
    make_recorder: MakeRecorder,
    storage: Storage,
    live: Live,
    tmp_path: Path,
    repository: Path,
    renames: int,
) -> None:
    import cloudpickle

    rows = small_models.rows(6)
    items = tmp_path / "items"
    items.write_bytes(cloudpickle.dumps([served(live, rows[:4]), served(live, rows[4:])]))
    command = [sys.executable, "-c", DIES, str(installation.home), str(items), str(renames)]
    ended = subprocess.run(command, cwd=repository, check=False)
    assert ended.returncode == -9
    assert list(installation.home.rglob(".*.tmp")), "it was not killed while it wrote"
    (piece,) = slices.find("flights", storage.stamps("windows/flights"))
    window = slices.read(storage, piece)
    assert window is not None
    assert window.rows == 4
    again = make_recorder()
    again.record(served(live, rows[4:]))
    again.close()
    (piece,) = slices.find("flights", storage.stamps("windows/flights"))
    assert len(piece.windows) == 2
    window = slices.read(storage, piece)
    assert window is not None
    assert (window.rows, window.moments["holiday"].count, sum(window.score)) == (6, 6, 6)
    table = slices.read_sample(storage, piece, 100)
    assert table is not None
    assert {*table.column("id").to_pylist()} == {row["flight"] for row in rows}


def test_windows_and_samples_are_kept_in_an_object_store(installation: Settings, live: Live) -> None:
    storage = Storage(f"memory://{uuid.uuid4().hex}")
    rows = small_models.rows(12)
    for part in (rows[:5], rows[5:]):
        recorder = Recorder("flights", timedelta(hours=1), installation, storage, 1000)
        recorder.record(served(live, part))
        recorder.drain()
        recorder.flush()
        recorder.flush()
        recorder.record(served(live, part))
        recorder.close()
    pieces = slices.find("flights", storage.stamps("windows/flights"))
    assert [len(piece.windows) for piece in pieces] == [2, 1]
    whole = slices.merged(storage, pieces)
    assert whole is not None
    assert (whole.rows, whole.requests) == (24, 4)
    read = [slices.read(storage, piece) for piece in pieces]
    merged = windows.merge([window for window in read if window])
    assert (merged.features, merged.score, merged.start, merged.end) == (
        *(whole.features, whole.score, whole.start, whole.end),
    )
    table = slices.read_sample(storage, pieces[0], 100)
    assert table is not None
    assert sorted(table.column("id").to_pylist()) == sorted([row["flight"] for row in rows[:6]] * 2)


def test_windows_that_do_not_add_up_or_are_of_a_later_format_are_left_out_and_named(
    make_recorder: MakeRecorder, live: Live, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = make_recorder()
    recorder.record(served(live, small_models.rows(3)))
    recorder.close()
    (piece,) = slices.find("flights", storage.stamps("windows/flights"))
    name = piece.windows[0]
    data = storage.read(name)
    later, torn = (name.replace("window-", f"window-{kind}-") for kind in ("later", "torn"))
    storage.write(later, data[:8] + b"\x02" + data[9:])
    storage.write(torn, data[: len(data) // 2])
    (piece,) = slices.find("flights", storage.stamps("windows/flights"))
    window = slices.read(storage, piece)
    assert window is not None
    assert window.rows == 3
    assert "is a window in format 2" in caplog.text
    assert "only a part of a window" in caplog.text
    other = window.model_copy(update={"score": (1, 2, 3)})
    storage.write(torn, window_files.encode(other))
    assert slices.read(storage, piece) is None
    assert "do not add up and are left out" in caplog.text
    for name in piece.windows:
        storage.delete(name)
    assert slices.read(storage, piece) is None
