"""Validation of a million rows against Great Expectations, pandera, a Polars query by hand and plain reading.

`make bench TARGET=validation` writes docs/benchmarks/validation.md and fails when a goal was missed, after
everything is written; `ARGS=--quick` looks at a tenth of the rows once and writes to .cache/bench/quick.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks import environments
from tests.benchmarks.validation import contenders, reports, suites
from tests.benchmarks.validation.contenders import CONTENDERS, LIMIT, OURS

pytestmark = pytest.mark.timeout(1800)
ROWS, ROUNDS, TIMES = 1_000_000, 2, 2
QUICK_ROWS = 100_000


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--quick"))


def test_validation_is_as_quick_as_its_goals(quick: bool, tmp_path: Path) -> None:
    rows, rounds = (QUICK_ROWS, 1) if quick else (ROWS, ROUNDS)
    table, suite = tmp_path / "table.parquet", tmp_path / "suite.json"
    suites.write_table(table, rows)
    content = suites.suite(rows)
    suite.write_text(json.dumps(content))
    about = describe(rows, rounds, len(content["expectations"]))
    found = measure(table, suite, rounds, TIMES)
    folder = environments.CACHE / "quick" if quick else environments.REPOSITORY / "docs" / "benchmarks"
    reports.write(folder, found, about)
    goals = reports.judge(found)
    print("", *reports.table(found), "", *goals, "", f"written to {folder}", sep="\n")
    assert quick or all(goal.met for goal in goals)


def measure(table: Path, suite: Path, rounds: int, times: int) -> reports.Found:
    """Contender → figure → one value a round."""
    figures = ("seconds", "processor_seconds", "whole_seconds", "peak_mb")
    found: reports.Found = {one.name: {name: [] for name in figures} for one in CONTENDERS}
    for one in CONTENDERS:
        one.python()
    verdicts: dict[str, Any] = {}
    for _ in range(rounds):
        for one in CONTENDERS:
            told = contenders.repeat(one, table, suite, times)
            found[one.name]["seconds"].append(min(told["seconds"]))
            found[one.name]["processor_seconds"].append(min(told["processor_seconds"]))
            verdicts[one.name] = told["verdicts"]
        for one in CONTENDERS:
            done = contenders.once(one, table, suite)
            found[one.name]["whole_seconds"].append(done.seconds)
            found[one.name]["peak_mb"].append(done.peak_mb)
    for one in CONTENDERS:
        assert one is LIMIT or verdicts[one.name] == verdicts[OURS.name], one.title
    assert verdicts[OURS.name].count(False) == suites.FAILING
    return found


def describe(rows: int, rounds: int, expectations: int) -> dict[str, Any]:
    """What the figures depend on."""
    pinned = dict(
        line.split("==") for line in (contenders.PEERS / "pandera.txt").read_text().splitlines() if line
    )
    versions = {name: version(name) for name in ("pilotage", "great-expectations", "pandas", "polars")}
    return {
        "rows": rows,
        "rounds": rounds,
        "times": TIMES,
        "expectations": expectations,
        "failing": suites.FAILING,
        "versions": versions | {"pandera": pinned["pandera"]},
        "load": os.getloadavg()[0],
        "command": "make bench TARGET=validation",
        "machine": _machine(),
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _machine() -> str:
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = cpu[0].partition(":")[2].strip() if cpu else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {system}"


def _commit() -> str:
    described = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(
        described, cwd=environments.REPOSITORY, capture_output=True, text=True
    ).stdout.strip()
