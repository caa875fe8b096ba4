"""The model server against its peers: throughput, tails, start, overload, the cost of monitoring, swaps.

Each test is a scenario: it measures, keeps the figures, writes the page with its plots, prints the goals,
and fails when one was missed, after everything is written. `make bench-serving` runs all of them in under
25 minutes, `make bench-serving ARGS="--quick"` in a few, whose figures are kept apart and mean nothing.
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks import environments
from tests.benchmarks.ledgers import Ledger
from tests.benchmarks.serving import (
    fleets,
    goals,
    loads,
    overloads,
    paces,
    recordings,
    reports,
    stages,
    swaps,
    tails,
    throughputs,
)
from tests.benchmarks.serving.contenders import BY_NAME, CONTENDERS, OURS, Contender
from tests.benchmarks.serving.fleets import Fleet
from tests.benchmarks.serving.paces import Pace
from tests.benchmarks.serving.stages import Stage

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def pace(request: pytest.FixtureRequest) -> Pace:
    """How long to measure."""
    return paces.QUICK if request.config.getoption("--quick") else paces.FULL


@pytest.fixture(scope="module")
def chosen(request: pytest.FixtureRequest) -> Sequence[Contender]:
    """The contenders of this run, Pilotage always among them."""
    names = [name for name in request.config.getoption("--only").split(",") if name]
    unknown = set(names) - set(BY_NAME)
    assert not unknown, f"--only: {', '.join(sorted(unknown))} are none of {', '.join(BY_NAME)}"
    return [one for one in CONTENDERS if not names or one.name in (OURS, *names)]


@pytest.fixture(scope="module")
def ledger(request: pytest.FixtureRequest, pace: Pace, chosen: Sequence[Contender]) -> Ledger:
    """Where figures are kept: in docs/benchmarks only those of a full run with everyone."""
    full = pace is paces.FULL and len(chosen) == len(CONTENDERS)
    folder = environments.REPOSITORY / "docs" / "benchmarks" if full else environments.CACHE / pace.name
    arguments = [argument for argument in sys.argv[1:] if argument in ("--quick",) or "=" in argument]
    keyword = request.config.getoption("-k")
    arguments += [f"-k {shlex.quote(keyword)}"] if keyword else []
    wanted = f' ARGS="{" ".join(arguments)}"' if arguments else ""
    return Ledger(folder, reports.FILE, f"make bench-serving{wanted}", reports.facts)


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The trained model, and rows."""
    if not loads.has_wrk():
        pytest.skip("wrk is not installed: `apt-get install wrk`")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers that are frozen would stay behind
    return stages.prepare(fleets.scratch(environments.CACHE))


@pytest.fixture(scope="module")
def fleet(stage: Stage, chosen: Sequence[Contender]) -> Iterator[Fleet]:
    """All contenders, frozen."""
    with fleets.sailing(stage, chosen) as found:
        yield found


def conclude(ledger: Ledger, scenario: str, measured: Any) -> None:
    """Keep, report, print, judge."""
    ledger.note(scenario, measured)
    reports.write(ledger)
    judged = [goal for goal in goals.judge(ledger.found) if goal.scenario == scenario]
    print(f"\n{scenario}, written to {Path(ledger.folder).relative_to(environments.REPOSITORY)}")
    print("\n".join(f"  {goal}" for goal in judged))
    missed = [str(goal) for goal in judged if not goal.met]
    assert not missed, "\n".join(missed)


def test_throughput_is_a_multiple_of_the_peers(fleet: Fleet, pace: Pace, ledger: Ledger, uncovered):
    conclude(ledger, "throughput", throughputs.closed_loops(fleet, pace))


def test_tails_are_shorter_at_the_same_offered_load(fleet: Fleet, pace: Pace, ledger: Ledger, uncovered):
    measured = ledger.found.get("throughput") or throughputs.closed_loops(fleet, pace)
    conclude(ledger, "tails", tails.same_load(fleet, pace, measured))


def test_cold_start_takes_less_than_half_of_mlflows(
    stage: Stage, chosen: Sequence[Contender], pace: Pace, ledger: Ledger, uncovered
):
    conclude(ledger, "cold_start", throughputs.cold_starts(stage, chosen, pace))


def test_overload_is_refused_and_leaves_no_trace(stage: Stage, pace: Pace, ledger: Ledger, uncovered):
    conclude(ledger, "overload", overloads.measure(stage, pace))


def test_monitoring_costs_little(stage: Stage, pace: Pace, ledger: Ledger, uncovered):
    conclude(ledger, "recording", recordings.measure(stage, pace))


def test_versions_swap_under_load_without_a_failure(stage: Stage, pace: Pace, ledger: Ledger, uncovered):
    conclude(ledger, "swaps", swaps.measure(stage, pace))
