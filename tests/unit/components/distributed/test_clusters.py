"""What a Ray is asked for, and that it is said how to get what is missing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from pilotage.components.distributed import checkpoints, clusters, guards
from pilotage.components.distributed.checkpoints import Checkpoint, Checkpoints
from pilotage.core import errors, settings
from pilotage.core.specs import Resources
from pilotage.core.storage import Storage


def test_a_worker_asks_for_what_resources_say():
    assert clusters.demand(Resources(workers=3)) == {"CPU": 1.0}
    asked = clusters.demand(Resources(workers=3, cpu="250m", memory="2Gi", gpu=1))
    assert asked == {"CPU": 0.25, "memory": 2.0**31, "GPU": 1.0}


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(errors.MissingExtra, match=r'pip install "pilotage\[scale\]"'):
        clusters.opened(settings.load(home=tmp_path), Resources(workers=2)).__enter__()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_folders_of_killed_processes_are_swept_and_of_others_kept(tmp_path):
    dead, alive = tmp_path / "pilotage-ray-dead", tmp_path / "pilotage-ray-alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "lock").touch()
    with (alive / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clusters._sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pilotage-ray-alive"]


def test_a_guard_ends_what_has_the_mark_and_nothing_else(tmp_path):
    folder = tmp_path / "ray"
    folder.mkdir()
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    ours = subprocess.Popen(sleep, env={**os.environ, guards.MARK: str(folder)}, start_new_session=True)
    other = subprocess.Popen(sleep, env={**os.environ, guards.MARK: f"{folder}2"})
    try:
        with guards.guarded(folder):
            assert ours.poll() is None
        assert ours.wait(30) == -9
        assert other.poll() is None
        assert not folder.exists()
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_a_checkpoint_is_that_of_its_work_and_a_damaged_one_is_none(tmp_path):
    installation = settings.load(home=tmp_path / "home")
    work = {"rows": "a", "seed": 1}
    kept = Checkpoints.of(installation, "run", work)
    assert kept.latest() is None
    kept.keep(Checkpoint(7, b"state"))
    kept.keep(Checkpoint(8, b"later"))
    assert Checkpoints.of(installation, "run", dict(reversed(work.items()))).latest() == Checkpoint(
        8, b"later"
    )
    assert Checkpoints.of(installation, "run", {**work, "seed": 2}).latest() is None
    assert Checkpoints.of(installation, "other", work).latest() is None
    storage = Storage(installation.storage)
    storage.write(kept.name, storage.read(kept.name)[:-1])
    assert kept.latest() is None
    kept.remove()
    assert storage.names("checkpoints") == []
    assert checkpoints.Checkpoints.of(installation, "run", work).latest() is None
