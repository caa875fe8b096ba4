"""Ingest as whole processes: killed at any moment, with little memory, side by side."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pilotage.components import snapshots
from pilotage.core import pilots, settings
from pilotage.core.artifacts import Snapshot

STEP = """
import json, resource, sys
from pathlib import Path
import pyarrow as pa
from pilotage.components.ingest import ingest
from pilotage.core import pilots, settings

pilot = pilots.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
snapshot = ingest(pilot.spec, pilot.folder, settings.load(home=Path(sys.argv[2])), Path(sys.argv[3]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak = pa.default_memory_pool().max_memory() / 2**20
told = {"digest": snapshot.digest, "rows": snapshot.rows, "arrow_peak_mb": peak}
told["grew_mb"] = (after - before) / 1024
print(json.dumps(told))
"""


def write_pilot(folder: Path, rows: int, key: bool = True) -> Path:
    """A pilot on a CSV of about 100 bytes a row, written block by block."""
    (folder / "pilot.yaml").write_text(
        "version: 1\npilot: big\ngoal: {metric: r2}\ndata: {source: t.csv, target: y"
        + (", key: id}\n" if key else "}\n")
    )
    block = 10_000
    with (folder / "t.csv").open("w") as stream:
        stream.write("id,a,b,c,d,e,y\n")
        for begin in range(0, rows, block):
            stream.write(
                "".join(
                    f"k{i:09},{i * 0.37:.6f},{(i * 7919) % 1000003 / 7:.6f},colour-{i % 12},"
                    f"2024-01-{i % 28 + 1:02}T{i % 24:02}:00:00Z,{i % 1000},{i % 977 / 3:.5f}\n"
                    for i in range(begin, min(rows, begin + block))
                )
            )
    return folder


def start(pilot: Path, home: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STEP, str(pilot), str(home), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    told: dict[str, Any] = json.loads(output)
    return told


@pytest.mark.slow
def test_memory_does_not_follow_the_size_of_the_file(tmp_path, uncovered):
    """Libraries and their pools take a fixed part whatever the size, so two sizes are compared.

    The key is left out: it costs eight bytes a row by design.
    """
    sizes, found = [], []
    for name, rows in (("half", 1_600_000), ("whole", 3_200_000)):
        (tmp_path / name).mkdir()
        pilot = write_pilot(tmp_path / name, rows, key=False)
        sizes.append((pilot / "t.csv").stat().st_size / 2**20)
        found.append(finish(start(pilot, tmp_path / name / "home", tmp_path / name / "out")))
        (pilot / "t.csv").unlink()
    assert sizes[1] > 240
    assert all(done["arrow_peak_mb"] < 80 for done in found)
    assert found[1]["grew_mb"] - found[0]["grew_mb"] < (sizes[1] - sizes[0]) / 2


def test_a_process_killed_at_any_moment_leaves_no_half_snapshot(tmp_path, uncovered):
    pilot, home = write_pilot(tmp_path, 60_000), tmp_path / "home"
    began = time.monotonic()
    whole = finish(start(pilot, tmp_path / "other", tmp_path / "out"))
    seconds = time.monotonic() - began
    for part in (0.4, 0.55, 0.7, 0.8, 0.9, 0.97):
        process = start(pilot, home, tmp_path / "killed")
        time.sleep(seconds * part)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for folder in home.glob("snapshots/*"):
            assert (folder / "manifest.json").exists()
    assert finish(start(pilot, home, tmp_path / "out"))["digest"] == whole["digest"]
    assert [folder.name for folder in home.glob("snapshots/*")] == [whole["digest"]]
    assert not list(home.glob(".staging/*"))
    read = snapshots.read_table(settings.load(home=home), Snapshot.read(tmp_path / "out"))
    assert read.num_rows == 60_000


@pytest.mark.parametrize("moment", ["spool", "part", "manifest"])
def test_killed_while_it_writes_each_kind_of_file(tmp_path, moment, uncovered):
    """The process kills itself the moment that the file appears, so that no timing is involved."""
    pilot, home = write_pilot(tmp_path, 2_000), tmp_path / "home"
    hook = (
        "import os, signal, sys\n"
        "def hook(event, args):\n"
        "    name = str(args[0]) if event in ('open', 'os.rename') else ''\n"
        f"    if '.staging' in name and {moment!r} in name:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "import pyarrow.parquet, pyarrow as pa\n"
        "def dying(function):\n"
        "    def call(place, *args, **kwargs):\n"
        "        hook('open', (place,))\n"
        "        return function(place, *args, **kwargs)\n"
        "    return call\n"
        "sys.addaudithook(hook)\n"
        "pa.ipc.new_stream = dying(pa.ipc.new_stream)\n"
        "pyarrow.parquet.ParquetWriter = dying(pyarrow.parquet.ParquetWriter)\n"
    )
    command = [sys.executable, "-c", hook + STEP, str(pilot), str(home), str(tmp_path / "out")]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert list(home.glob(".staging/*"))
    assert not list(home.glob("snapshots/*"))
    done = finish(start(pilot, home, tmp_path / "out"))
    assert [folder.name for folder in home.glob("snapshots/*")] == [done["digest"]]
    assert not list(home.glob(".staging/*"))


def test_two_processes_that_find_the_same_data_agree(tmp_path, uncovered):
    pilot, home = write_pilot(tmp_path, 20_000), tmp_path / "home"
    running = [start(pilot, home, tmp_path / f"out{number}") for number in range(2)]
    assert len({finish(process)["digest"] for process in running}) == 1
    assert len(list(home.glob("snapshots/*"))) == 1
    assert pilots.load(pilot).spec.pilot == "big"
