"""The compiled pipeline on kfp's orchestrator with our task handler."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pilotage.core import errors
from pilotage.pipelines.journals.events import Kind
from pilotage.pipelines.journals.states import State


def test_steps_run_in_order_and_pass_artifacts(bench):
    journal = bench.run("print('hello')")
    assert bench.executed == ["ingest", "train"]
    model = Path(journal.outcomes["train"].outputs["model"]["uri"], "model.txt")
    assert model.read_text() == "rowsrows"
    steps = {step.name: step for step in bench.records.steps(bench.run_name)}
    assert {step.state for step in steps.values()} == {State.SUCCEEDED}
    assert steps["train"].inputs == {"snapshot": "d" * 64}
    assert steps["train"].metrics == {"accuracy": 0.5}
    assert steps["ingest"].log is not None
    assert steps["ingest"].log.read_text() == "hello\n"


def test_the_watcher_sees_starts_lines_and_ends(bench):
    bench.run("print('hello')")
    seen = [(event.kind, event.step) for event in bench.events]
    assert seen == [
        (Kind.STEP_STARTED, "ingest"),
        (Kind.STEP_LINE, "ingest"),
        (Kind.STEP_ENDED, "ingest"),
        (Kind.STEP_STARTED, "train"),
        (Kind.STEP_ENDED, "train"),
    ]


def test_nothing_is_written_to_standard_output_and_log_handlers_stay(bench, capfd):
    before = logging.getLogger().handlers[:]
    bench.run("print('hello')")
    assert capfd.readouterr().out == ""
    assert logging.getLogger().handlers == before


def test_a_failure_that_may_pass_is_tried_again(bench, tmp_path: Path):
    marks = str(tmp_path / "marks")
    bench.run(
        f"""
        import pathlib
        marks = pathlib.Path({marks!r})
        marks.mkdir(exist_ok=True)
        (marks / str(len(list(marks.iterdir())))).touch()
        if len(list(marks.iterdir())) < 3:
            raise OSError("not yet")
        """
    )
    assert bench.executed == ["ingest"] * 3 + ["train"]
    waits = [event.seconds for event in bench.events if event.kind is Kind.STEP_RETRIED]
    assert waits == [0.05, 0.1]
    step = bench.records.steps(bench.run_name)[0]
    assert (step.state, step.attempt, step.error) == (State.SUCCEEDED, 3, None)
    assert step.log.read_text().count("not yet") >= 2


def test_it_is_given_up_after_the_last_retry(bench):
    with pytest.raises(errors.StepFailed, match="never"):
        bench.run("raise OSError('never')")
    assert bench.executed == ["ingest"] * 3


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        pytest.param(
            "from pilotage.core import errors\nraise errors.DataError('Bad rows.', remedy='Mend them.')",
            errors.DataError,
            "Bad rows. Mend them.",
            id="wrong-input",
        ),
        pytest.param(
            "from pilotage.core import errors\nraise errors.ValidationFailed('Too many nulls.')",
            errors.ValidationFailed,
            "Too many nulls.",
            id="refused",
        ),
        pytest.param("import ctypes; ctypes.string_at(0)", errors.StepFailed, "ended by SIGSEGV", id="crash"),
        pytest.param("import os; os._exit(9)", errors.StepFailed, "exit code 9", id="exit"),
        pytest.param("import os; os._exit(0)", errors.StepFailed, "before it had written", id="no-outputs"),
    ],
)
def test_what_a_retry_cannot_mend_is_not_retried(
    bench, body: str, kind: type[errors.PilotageError], words: str
):
    with pytest.raises(kind, match=words) as caught:
        bench.run(body)
    assert bench.executed == ["ingest"]
    step, later = bench.records.steps(bench.run_name)
    assert (step.state, later.state) == (State.FAILED, State.PENDING)
    assert step.error["message"] in str(caught.value)
    assert caught.value.details["step"] == "ingest"


def test_a_hang_and_a_memory_hog_say_so_in_their_logs(bench_with):
    bench = bench_with(step_timeout_seconds=0.5, step_memory_mb=300)
    with pytest.raises(errors.StepFailed, match=r"timeout of 0\.5 s"):
        bench.run("import time\ntime.sleep(30)")
    assert "timeout of 0.5 s" in bench.records.steps(bench.run_name)[0].log.read_text()
    hog = bench_with(step_timeout_seconds=20, step_memory_mb=200)
    with pytest.raises(errors.StepFailed, match="its limit is 200 MB"):
        hog.run("held = b'x' * (600 << 20)\nimport time\ntime.sleep(20)")
    assert "its limit is 200 MB" in hog.records.steps(hog.run_name)[0].log.read_text()
