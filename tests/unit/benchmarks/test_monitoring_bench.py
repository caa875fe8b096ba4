"""The parts of the monitoring benchmark whose mistakes would look like good figures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.benchmarks import ledgers
from tests.benchmarks.monitoring import alarms, children, estimates, goals, samples, speeds, tables, verdicts
from tests.benchmarks.monitoring.children import Archive
from tests.benchmarks.monitoring.contenders import BY_NAME, EVIDENTLY, NANNYML, OURS, PEERS, Contender
from tests.benchmarks.monitoring.samples import Shift
from tests.benchmarks.monitoring.verdicts import Matched, Strengths

BURNING = """
import subprocess, sys, time
from measures import Job

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

burn(0.3)
job = Job()
burn(0.2)
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.4: pass"], check=True)
job.note("work")
job.answer(["done"])
"""


@dataclass(frozen=True)
class Scripted(Contender):
    """A contender whose script is given as text."""

    text: str = ""

    def command(self, job: Path) -> list[str]:
        return [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(PEERS)!r})\n{self.text}",
            str(job),
        ]


def test_what_children_spend_counts_and_start_does_not(tmp_path: Path):
    held = np.ones(40_000_000)  # 320 MB that must not count as the child's
    found = children.run(Scripted("burning", "", "", text=BURNING), {}, tmp_path)
    assert held.all()
    assert found["found"] == ["done"]
    assert 0.6 <= found["cpu"] <= found["whole_cpu"] - 0.3
    assert found["parts"]["work"]["cpu"] == pytest.approx(found["cpu"], abs=0.2)
    assert found["peak_mb"] < 200


def test_a_contender_that_fails_is_no_quick_one(tmp_path: Path):
    job: dict[str, Any] = {}
    children.run(Scripted("one", "", "", text=BURNING), job, tmp_path)
    with pytest.raises(RuntimeError, match="no luck"):
        children.run(Scripted("one", "", "", text="raise ValueError('no luck')"), job, tmp_path)
    with pytest.raises(FileNotFoundError):
        children.run(Scripted("one", "", "", text="pass"), job, tmp_path)  # an old answer is not its own


def test_earlier_answers_are_marked_and_another_machines_are_none(tmp_path, monkeypatch):
    peer = BY_NAME[EVIDENTLY]
    first = Archive(tmp_path)
    assert first.last("speed", peer) is None
    first.keep("speed", peer, [1.0])
    assert first.last("speed", peer) == ([1.0], "")
    found, at = Archive(tmp_path).last("speed", peer) or (None, "")
    assert found == [1.0]
    assert at
    here = ledgers.machine()
    monkeypatch.setattr(ledgers, "machine", lambda: here | {"processor": "another"})
    assert Archive(tmp_path).last("speed", peer) is None


def test_waits_begin_at_every_window():
    assert verdicts.wait(np.array([True, True])) == 1.0
    assert verdicts.wait(np.array([False, False])) is None
    assert verdicts.wait(np.array([False, False, True])) == 2.0
    assert verdicts.wait(np.array([True, False, False])) == 2.0


def test_who_never_finds_what_a_peer_finds_is_late():
    assert goals.is_later(None, 3.0)
    assert goals.is_later(1.1, 1.0)
    assert not goals.is_later(1.0, 1.0)
    assert not goals.is_later(None, None)
    assert not goals.is_later(5.0, None)


def undrifted(windows: int) -> Strengths:
    """One column far beyond its threshold always, one noisy."""
    noise = np.random.default_rng(0).normal(0.2, 0.02, windows)
    return [{"loud": 5.0, "quiet": float(value)} for value in noise]


def test_a_tuned_peer_alarms_on_no_undrifted_window_and_still_sees_small_shifts():
    usual = undrifted(50)
    matched = Matched.of(usual)
    assert verdicts.alarms(usual).all()
    assert not matched.alarms(usual).any()
    assert matched.alarms([{"loud": 5.0, "quiet": 0.4}]).all()
    assert matched.alarms([{"loud": 5.1, "quiet": 0.2}]).all()


def test_evidently_says_that_a_data_set_drifted_when_half_of_its_columns_did():
    windows: Strengths = [{"a": 2.0, "b": 0.5, "c": 0.5}, {"a": 2.0, "b": 2.0, "c": 0.5}]
    assert verdicts.dataset_alarms(windows).tolist() == [False, True]
    assert verdicts.named(windows, "b").tolist() == [False, True]


def test_shares_have_exact_intervals():
    told = verdicts.share(np.arange(1000) < 10)
    assert (told["alarms"], told["windows"]) == (10, 1000)
    assert told["low"] == pytest.approx(0.0048, abs=1e-4)
    assert told["high"] == pytest.approx(0.0183, abs=1e-4)


def test_no_row_is_in_the_reference_and_in_a_window():
    for split in (
        samples.random_split(200, 5, 100_000, number=3),
        samples.week_split(number=3),
        samples.month_split(),
    ):
        windows = np.concatenate(split.windows)
        assert not np.intersect1d(split.reference, windows).size
    assert split.reference.max() < min(rows.min() for rows in split.windows)
    assert all(
        early.max() < late.min() for early, late in zip(split.windows, split.windows[1:], strict=False)
    )


def test_smaller_runs_of_a_peer_see_the_same_first_windows():
    many, few = (samples.random_split(200, windows, 100_000, number=0) for windows in (5, 2))
    assert (many.reference == few.reference).all()
    assert all((one == other).all() for one, other in zip(many.windows, few.windows, strict=False))
    for shift in Shift:
        frames = [samples.frames(split, shift)[0] for split in (many, few)]
        assert frames[0].equals(frames[1])


@pytest.mark.parametrize("shift", Shift)
def test_a_shift_changes_its_column_by_what_it_says_and_no_other(shift: Shift):
    table = tables.flights().select(tables.COLUMNS)[:50_000]
    found = samples.shifted(table, shift, np.random.default_rng(1))
    name = samples.COLUMN[shift]
    assert found.drop(name).equals(table.drop(name))
    before, after = table[name], found[name]
    if shift is Shift.NULLS:
        assert (after.null_count() - before.null_count()) / len(table) == pytest.approx(0.10, abs=0.005)
        assert after.drop_nulls().is_in(before.unique().to_list()).all()
    elif shift is Shift.NEW_CATEGORY:
        assert (after == samples.NEW_CATEGORY).mean() == pytest.approx(0.03, abs=0.003)
        assert samples.NEW_CATEGORY not in before
    else:
        factor = samples.KILOMETRES if shift is Shift.UNIT else samples.STRETCH
        assert (after / before).min() == pytest.approx(factor)


def test_pilotage_is_asked_the_question_that_the_peers_are():
    """The adapter compares what it should: no drift in an undrifted window, the changed column in another."""
    split = samples.random_split(1_000, 1, 20_000, number=1)
    reference = samples.profiled(split)
    (usual,) = samples.judged(reference, split, samples.frames(split))
    (shifted,) = samples.judged(reference, split, samples.frames(split, Shift.UNIT))
    assert usual.keys() == shifted.keys() == set(tables.COLUMNS)
    assert [name for name, value in usual.items() if value > 1] == []
    assert [name for name, value in shifted.items() if value > 1] == ["distance"]


def test_files_hold_every_window_in_its_place(tmp_path: Path):
    split = samples.week_split(number=0, windows=3)
    parts = samples.frames(split)
    reference, windows = (pl.read_parquet(file) for file in samples.write(split, parts, tmp_path))
    assert len(reference) == len(split.reference)
    assert reference["at"].n_unique() == 26 * 7
    assert windows["window"].value_counts(sort=True).sum()["count"].item() == sum(map(len, parts))
    assert windows.group_by("window").agg(pl.col("at").n_unique())["at"].to_list() == [1, 1, 1]
    assert windows.filter(pl.col("window") == 1).select(tables.COLUMNS).equals(parts[1])


def speed(ours: float, evidently: float, further: float, memory: dict[str, float]) -> dict[str, Any]:
    costs = {OURS: {"cpu": ours}, EVIDENTLY: {"cpu": evidently}}
    return {"speed": {"rows": 1, "costs": costs, "further_cpu": [further], "memory_mb": memory}}


def test_costs_are_those_of_the_same_work():
    parts = {"profile": {"cpu": 2.0, "wall": 3.0}, speeds.FURTHER: {"cpu": 0.5, "wall": 1.0}}
    answer = {"cpu": 2.5, "wall": 4.0, "whole_cpu": 3.5, "whole_wall": 6.0, "peak_mb": 9.0, "parts": parts}
    told = speeds.without_further(answer)
    assert {cost: told[cost] for cost in ("cpu", "wall", "whole_cpu", "whole_wall", "peak_mb")} == {
        "cpu": 2.0, "wall": 3.0, "whole_cpu": 3.0, "whole_wall": 5.0, "peak_mb": 9.0
    }  # fmt: skip
    assert told["further_cpu"] == 0.5
    assert speeds.without_further(told | {"parts": told["parts"]})["cpu"] == 2.0


def test_a_goal_is_missed_just_below_it():
    exact = speed(1.5, 150.0, 0.5, {"1000": 100.0, "4000": 104.0})
    assert [str(goal) for goal in goals.judge(exact) if not goal.met] == []
    below = speed(1.5, 149.0, 0.51, {"1000": 100.0, "4000": 106.0})
    assert [goal.met for goal in goals.judge(below)] == [False, False, False]


def test_false_alarms_are_judged_by_the_rule_that_is_shipped_with_its_sampling_error():
    def cell(rule: str, hits: int) -> dict[str, Any]:
        told = {"contender": OURS, "rule": rule, "size": 200, "stored_at": ""}
        return told | verdicts.share(np.arange(1000) < hits)

    def met(hits: int) -> list[bool]:
        cells = [cell(alarms.SHIPPED, hits), cell(alarms.NO_FLOOR, 500)]
        return [goal.met for goal in goals.judge({"false_alarms": {"cells": cells}})]

    assert met(10) == [True]
    assert met(17) == [True]
    assert met(30) == [False]


def test_windows_without_an_estimate_are_counted_and_not_averaged():
    assert estimates.error([0.7, None], [0.6, 0.6]) == {"mean_absolute": pytest.approx(0.1), "windows": 1}


def test_an_estimator_has_to_beat_the_peer_and_no_change():
    errors = {"pilotage: CBPE": 0.02, NANNYML: 0.03, estimates.NO_CHANGE: 0.01}
    told = {"errors": {name: {"mean_absolute": value, "windows": 1} for name, value in errors.items()}}
    assert [goal.met for goal in goals.judge({"estimates": {"month": told}})] == [True, False]
