"""A step's earlier outputs are used only when nothing it depends on has changed and they are all there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pilotage.core import pilots
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.steps import codes


def _states(bench) -> list[State]:
    return [step.state for step in bench.records.steps(bench.run_name)]


def test_a_second_run_on_the_same_is_all_hits_and_starts_no_process(bench):
    first = bench.run()
    second = bench.run()
    assert bench.executed == ["ingest", "train"]
    assert _states(bench) == [State.CACHED, State.CACHED]
    assert second.outcomes["train"].outputs == first.outcomes["train"].outputs
    assert not (bench.settings.logs / bench.run_name).exists()
    assert all(step.cached for step in bench.records.steps(bench.run_name))


def test_without_reading_every_step_runs_and_is_remembered(bench):
    bench.run()
    bench.run(reading=False)
    bench.run()
    assert bench.executed == ["ingest", "train"] * 2


def test_another_fingerprint_reads_again_but_the_same_data_trains_nothing(bench):
    bench.run()
    bench.fingerprint = "two"
    bench.run()
    assert bench.executed == ["ingest", "train", "ingest"]


def test_a_source_without_fingerprint_is_always_read(bench):
    bench.fingerprint = None
    bench.run()
    bench.run()
    assert bench.executed == ["ingest", "train", "ingest"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: shutil.rmtree(folder), id="gone"),
        pytest.param(lambda folder: (folder / "model.txt").unlink(), id="a-file-gone"),
        pytest.param(lambda folder: (folder / "model.txt").write_text("rowsrowx"), id="changed"),
        pytest.param(lambda folder: (folder / "model.txt").write_text(""), id="emptied"),
    ],
)
def test_outputs_that_are_gone_or_changed_are_no_hit(bench, damage):
    first = bench.run()
    damage(Path(first.outcomes["train"].outputs["model"]["uri"]))
    bench.run()
    assert bench.executed == ["ingest", "train", "train"]


def test_parameters_count_for_the_steps_that_read_them(bench):
    bench.run()
    content = bench.spec.model_dump(mode="json", exclude_unset=True)
    bench.spec = type(bench.spec).model_validate({**content, "train": {"seed": 7}})
    bench.run()
    assert bench.executed == ["ingest", "train", "train"]
    bench.spec = type(bench.spec).model_validate({**content, "owner": "someone else"})
    bench.run()
    assert bench.executed == ["ingest", "train", "train"]


def test_a_failed_step_is_not_remembered(bench):
    with pytest.raises(Exception, match="exit code 9"):
        bench.run("import os; os._exit(9)")
    bench.run()
    assert bench.executed == ["ingest", "ingest", "train"]


def test_code_counts(bench, monkeypatch: pytest.MonkeyPatch):
    bench.run()
    monkeypatch.setattr(codes, "installed", lambda: "another version")
    bench.run()
    assert bench.executed == ["ingest", "train"] * 2


def test_a_pilots_own_code_counts_with_its_neighbours(tmp_path: Path):
    spec = pilots.parse(
        "version: 1\npilot: own\ndata: {source: {python: 'rows:load'}, target: y}\ngoal: {metric: r2}\n"
    )
    (tmp_path / "rows.py").write_text("import parts.more")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "more.py").write_text("x = 1")
    (tmp_path / ".pilotage").mkdir()
    before = codes.own(spec, tmp_path)
    (tmp_path / ".pilotage" / "other.py").write_text("ignored")
    assert codes.own(spec, tmp_path) == before
    (tmp_path / "parts" / "more.py").write_text("x = 2")
    assert codes.own(spec, tmp_path) != before


def test_a_pilot_without_code_does_not_depend_on_files_beside_it(bench, tmp_path: Path):
    (tmp_path / "notes.py").write_text("x = 1")
    assert codes.own(bench.spec, tmp_path) == ""
