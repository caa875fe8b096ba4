"""Monitoring against its peers: what it costs, false alarms, how soon shifts are found, estimates.

Each test is a scenario: it measures, keeps the figures, writes the page with its plots, prints the goals,
and fails when one was missed, after everything is written. `make bench TARGET=monitoring` runs all of them in
about an hour, nearly all of it the peers'; `ARGS="--only pilotage"` measures Pilotage anew beside the peers'
last figures of this machine, marked as such; `ARGS="--quick"` looks whether everything runs.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks import environments
from tests.benchmarks.ledgers import Ledger
from tests.benchmarks.monitoring import alarms, estimates, goals, paces, reports, shifts, speeds
from tests.benchmarks.monitoring.children import Archive
from tests.benchmarks.monitoring.contenders import BY_NAME, CONTENDERS, LIMIT, OURS, Contender
from tests.benchmarks.monitoring.paces import Pace
from tests.benchmarks.monitoring.verdicts import Run

pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(scope="module")
def pace(request: pytest.FixtureRequest) -> Pace:
    """How much to measure."""
    return paces.QUICK if request.config.getoption("--quick") else paces.FULL


@pytest.fixture(scope="module")
def chosen(request: pytest.FixtureRequest) -> Sequence[Contender]:
    """The contenders of this run, Pilotage and the limit always among them."""
    names = [name for name in request.config.getoption("--only").split(",") if name]
    unknown = set(names) - set(BY_NAME)
    assert not unknown, f"--only: {', '.join(sorted(unknown))} are none of {', '.join(BY_NAME)}"
    return [one for one in CONTENDERS if not names or one.name in (OURS, LIMIT, *names)]


@pytest.fixture(scope="module")
def run(pace: Pace, chosen: Sequence[Contender]) -> Run:
    """Who takes part, and where files are."""
    folder = environments.CACHE / "monitoring"
    return Run(folder / "tables", Archive(folder / pace.name), chosen, pace)


@pytest.fixture(scope="module")
def ledger(request: pytest.FixtureRequest, pace: Pace, chosen: Sequence[Contender]) -> Ledger:
    """Where figures are kept: in docs/benchmarks those of a full run.

    Of contenders that were left out their last figures on this machine stand there, with their time.
    """
    full = pace is paces.FULL
    folder = environments.REPOSITORY / "docs" / "benchmarks" if full else environments.CACHE / pace.name
    only = request.config.getoption("--only")
    arguments = [argument for argument in sys.argv[1:] if argument == "--quick"]
    arguments += [f"--only {only}"] if only else []
    keyword = request.config.getoption("-k")
    arguments += [f"-k {shlex.quote(keyword)}"] if keyword else []
    wanted = f' ARGS="{" ".join(arguments)}"' if arguments else ""
    return Ledger(folder, reports.FILE, f"make bench TARGET=monitoring{wanted}", reports.facts)


def conclude(ledger: Ledger, scenario: str, measured: Any) -> None:
    """Keep, report, print, judge."""
    ledger.note(scenario, measured)
    reports.write(ledger)
    judged = [goal for goal in goals.judge(ledger.found) if goal.scenario == scenario]
    print(f"\n{scenario}, written to {Path(ledger.folder).relative_to(environments.REPOSITORY)}")
    print("\n".join(f"  {goal}" for goal in judged))
    missed = [str(goal) for goal in judged if not goal.met]
    assert not missed, "\n".join(missed)


def test_profiling_costs_a_fraction_of_the_peers(run: Run, ledger: Ledger, uncovered):
    conclude(ledger, "speed", speeds.measure(run.folder, run.archive, run.chosen, run.pace))


def test_alarms_without_drift_are_as_rare_as_promised(run: Run, ledger: Ledger, uncovered):
    conclude(ledger, "false_alarms", alarms.measure(run))


def test_real_shifts_are_found_no_later_than_by_the_peers(run: Run, ledger: Ledger, uncovered):
    conclude(ledger, "shifts", shifts.measure(run))


def test_estimates_without_labels_are_as_close_as_the_peers(run: Run, ledger: Ledger, uncovered):
    conclude(ledger, "estimates", estimates.measure(run))
