"""Runs in Kubeflow, from submission to end, as the API's own description has requests and answers."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from tests.kubeflows import Run

from pilotage.core import bundles, errors, pilots, settings
from pilotage.core.costs import prices
from pilotage.pipelines.definitions import needs, training
from pilotage.pipelines.journals import stops
from pilotage.pipelines.journals.events import Kind
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.journals.stops import Reason, Stopped
from pilotage.pipelines.queue import remotes


def test_a_run_is_told_as_one_of_this_machine_is(cluster):
    cluster.play(*cluster.whole())
    journal = cluster.carry_out()
    assert cluster.seen(Kind.STEP_STARTED, Kind.STEP_ENDED) == [
        (kind, step) for step in STEPS for kind in (Kind.STEP_STARTED, Kind.STEP_ENDED)
    ]
    steps = cluster.steps
    assert {step.state for step in steps.values()} == {State.SUCCEEDED}
    assert set(steps["register"].inputs) == {"snapshot", "report", "model", "scorecard"}
    assert steps["validate"].inputs == {"snapshot": "0" * 64}
    assert steps["train"].metrics == {"auc": 0.5}
    assert steps["train"].peak_memory_bytes == 5
    assert steps["train"].started_at == cluster.run.steps["train"].began
    assert Path(journal.outcomes["train"].outputs["model"]["uri"], "model.json").is_file()
    assert cluster.records.run(cluster.name).remote["id"] == cluster.run.id


def test_steps_on_a_cluster_know_the_prices_that_gates_are_judged_by(cluster_with, tmp_path, monkeypatch):
    file = tmp_path / "prices.json"
    file.write_text('{"currency": "EUR", "cpu_hour": 0.05, "gpu_hour": 2}')
    given = cluster_with(prices=str(file), country="DEU", encoder="/models/small", allow_hub=True).settings
    told = needs.of(given).variables
    assert (told["PILOTAGE_COUNTRY"], told["PILOTAGE_ENCODER"]) == ("DEU", "/models/small")
    file.unlink()
    monkeypatch.setenv("PILOTAGE_PRICES", told["PILOTAGE_PRICES"])
    monkeypatch.setenv("PILOTAGE_ALLOW_HUB", told["PILOTAGE_ALLOW_HUB"])
    there = settings.load()
    table = prices.load(there)
    assert table is not None
    assert (table.cpu_hour, table.of_gpu("any"), there.allow_hub) == (0.05, 2, True)
    assert needs.of(there).variables["PILOTAGE_PRICES"] == told["PILOTAGE_PRICES"]


def test_what_is_submitted_is_the_compiled_pipeline_and_a_bundle_of_the_folder(cluster_with):
    cluster = cluster_with(
        components_image="registry.example/components-python:9",
        components_secret="credentials",
        kubeflow_root="s3://outputs/pipelines",
        kubeflow_service_account="steps",
    )
    cluster.play(*cluster.whole())
    cluster.carry_out()
    body = cluster.run.body
    assert body["display_name"] == f"small {cluster.name}"
    assert body["service_account"] == "steps"
    assert body["runtime_config"]["pipeline_root"] == "s3://outputs/pipelines"
    parameters = body["runtime_config"]["parameters"]
    assert parameters["run"] == cluster.name
    unpacked = bundles.fetch(cluster.pods.storage, parameters["folder"], cluster.folder.parent / "cache")
    assert (unpacked / "rows.csv").read_text() == "x,y\n1,0\n"
    ir = body["pipeline_spec"]["pipeline_spec"]
    assert (
        pilots.from_json(ir["root"]["inputDefinitions"]["parameters"]["pilot"]["defaultValue"])
        == cluster.spec
    )
    container = ir["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["image"] == "registry.example/components-python:9"
    variables = {item["name"]: item["value"] for item in container["env"]}
    assert variables["PILOTAGE_STORAGE_URL"] == str(cluster.shared)
    assert variables["MLFLOW_TRACKING_URI"] == "http://localhost:1"
    assert not [name for name in variables if "KUBEFLOW" in name or "DATABASE" in name or "HOME" in name]
    platform = body["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]
    train = platform["executors"]["exec-train"]
    assert train["secretAsEnv"][0]["secretName"] == "credentials"
    assert train["pvcMount"][0]["mountPath"] == str(cluster.shared)
    assert ir["root"]["dag"]["tasks"]["train"]["retryPolicy"]["maxRetryCount"] == 2
    assert ir["root"]["dag"]["tasks"]["train"]["cachingOptions"] == {}
    plain = training.compiled(cluster.spec)
    assert ir["root"]["dag"]["tasks"].keys() == plain["root"]["dag"]["tasks"].keys()
    sources = [
        found["deploymentSpec"]["executors"]["exec-train"]["container"]["command"] for found in (ir, plain)
    ]
    assert sources[0] == sources[1]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("StepFailed", errors.StepFailed, 1),
        ("DataError", errors.DataError, 2),
        ("ValidationFailed", errors.ValidationFailed, 3),
    ],
    ids=["failed", "wrong-input", "refused"],
)
def test_a_step_fails_with_its_own_words_and_meaning(
    cluster, name: str, kind: type[errors.PilotageError], code: int
):
    told = {
        "type": name,
        "message": "Bad rows.",
        "remedy": "Mend them.",
        "exit_code": code,
        "details": {"rows": 3},
    }
    cluster.play(
        *cluster.whole()[:2],
        lambda run: cluster.pods.begin(run, "validate"),
        lambda run: cluster.pods.fail(run, "validate", told),
        end="FAILED",
    )
    with pytest.raises(kind, match=r"Bad rows\. Mend them\.") as caught:
        cluster.carry_out()
    assert caught.value.exit_code == code
    assert caught.value.details["rows"] == 3
    assert caught.value.details["step"] == "validate"
    step = cluster.steps["validate"]
    assert (step.state, step.error["message"], step.error["exit_code"]) == (State.FAILED, "Bad rows.", code)
    assert cluster.steps["train"].state is State.PENDING


@pytest.mark.parametrize(
    ("began", "words"),
    [
        (True, r"before it could say why \(OOMKilled\).*train\.resources"),
        (False, r"did not begin \(ImagePullBackOff\).*image"),
    ],
    ids=["killed", "never-began"],
)
def test_a_pod_that_could_say_nothing_is_told_of_as_kubeflow_does(cluster, began: bool, words: str):
    def fail(run: Run) -> None:
        if not began:
            cluster.pods.storage.delete(f"outcomes/{run.key}")
        cluster.pods.fail(run, "ingest", None, said="OOMKilled" if began else "ImagePullBackOff")

    cluster.play(lambda run: cluster.pods.begin(run, "ingest"), fail, end="FAILED")
    with pytest.raises(errors.StepFailed, match=words):
        cluster.carry_out()


def test_retries_are_counted_and_told(cluster):
    told = {"type": "OSError", "message": "not yet", "remedy": "", "exit_code": 1, "details": {}}

    def again(run: Run) -> None:
        cluster.pods.tell(run, "ingest", 1, "failed", error=told)
        run.steps["ingest"].pods.append(type(run.steps["ingest"].pods[0])(log=b"second\n"))
        run.steps["ingest"].pods[0].state = "FAILED"

    acts = cluster.whole()
    cluster.play(acts[0], again, *acts[1:])
    cluster.carry_out()
    assert cluster.seen(Kind.STEP_RETRIED) == [(Kind.STEP_RETRIED, "ingest")]
    step = cluster.steps["ingest"]
    assert (step.state, step.attempt, step.error) == (State.SUCCEEDED, 2, None)
    log = step.log.read_text()
    assert log.index("ingest attempt 1") < log.index("the next begins") < log.index("second")


def test_logs_grow_while_steps_go_on(cluster):
    def write(run: Run) -> None:
        run.steps["ingest"].pods[-1].log += b"half a li"

    def rest(run: Run) -> None:
        run.steps["ingest"].pods[-1].log += "ne äöü\n".encode()

    acts = cluster.whole()
    cluster.play(acts[0], lambda run: None, write, *[lambda run: None] * 4, rest, *acts[1:])
    cluster.carry_out()
    assert cluster.steps["ingest"].log.read_text() == "ingest attempt 1\nhalf a line äöü\n"
    lines = [
        event.line for event in cluster.events if event.kind is Kind.STEP_LINE and event.step == "ingest"
    ]
    assert lines == ["ingest attempt 1", "half a line äöü"]
    kept = cluster.pods.storage.read(f"outcomes/{cluster.name}/ingest/log.txt")
    assert kept.decode() == cluster.steps["ingest"].log.read_text()


def test_a_log_that_cannot_be_had_says_so_and_fails_nothing(cluster):
    def lose(run: Run) -> None:
        run.steps["ingest"].pods[-1].lost = True

    acts = cluster.whole()
    cluster.play(acts[0], lose, *acts[1:])
    cluster.carry_out()
    assert "pilotage: the log, or its end, cannot be had" in cluster.steps["ingest"].log.read_text()
    assert cluster.steps["ingest"].state is State.SUCCEEDED


def test_a_run_that_somebody_terminated_in_kubeflow_is_cancelled(cluster):
    cluster.play(*cluster.whole()[:3], lambda run: setattr(run, "terminated", True))
    with pytest.raises(Stopped, match="terminated it in Kubeflow") as caught:
        cluster.carry_out()
    assert caught.value.reason is Reason.ASKED, "its trigger is not to start it again"
    assert cluster.steps["validate"].state is State.CANCELLED


def test_a_run_that_was_deleted_in_kubeflow_has_failed(cluster):
    cluster.play(cluster.whole()[0], lambda run: cluster.kubeflow.runs.clear())
    with pytest.raises(errors.StepFailed, match="deleted"):
        cluster.carry_out()
    assert cluster.steps["ingest"].state is State.FAILED


def test_a_state_that_is_not_known_is_waited_out(cluster, caplog):
    acts = cluster.whole()
    cluster.play(lambda run: setattr(run, "state", "RUNTIME_STATE_HIBERNATING"), *acts)
    cluster.carry_out()
    assert "which is not known; it is taken to go on" in caplog.text
    (problem,) = cluster.kubeflow.problems
    assert "HIBERNATING" in problem
    cluster.kubeflow.problems.clear()


def test_a_run_without_its_steps_has_failed_and_says_what_kubeflow_does(cluster):
    cluster.play(end="FAILED", said="exceeded quota: compute")
    with pytest.raises(errors.StepFailed, match="exceeded quota: compute"):
        cluster.carry_out()


def test_success_without_what_steps_tell_is_a_wrong_storage(cluster, monkeypatch):
    from pilotage.pipelines.kubeflow import followers

    monkeypatch.setattr(followers, "_OUTCOME_SECONDS", 0.0)
    acts = cluster.whole()
    cluster.play(acts[0], acts[1], lambda run: None)

    def lose(run: Run) -> None:
        acts[1](run)
        cluster.pods.storage.delete(f"outcomes/{run.key}")

    cluster.play(acts[0], lose)
    with pytest.raises(errors.StepFailed, match=r"left nothing in .*shared.*PILOTAGE_STORAGE_URL"):
        cluster.carry_out()


def test_stopping_terminates_the_run_and_waits_for_its_end(cluster):
    cluster.play(cluster.whole()[0], *[lambda run: None] * 500)
    journal = cluster.begin()
    cluster.once_looked_at(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Stopped), stops.stoppable(cluster.records.engine, cluster.name):
        cluster.carry_out(journal)
    assert cluster.run.terminated
    assert cluster.run.state == "CANCELED"
    assert cluster.steps["ingest"].state is State.CANCELLED


def test_an_interruption_lets_the_run_go_on(cluster):
    cluster.play(cluster.whole()[0], *[lambda run: None] * 500)
    journal = cluster.begin()
    cluster.once_looked_at(lambda: os.kill(os.getpid(), stops.INTERRUPT))
    with pytest.raises(Stopped), stops.stoppable(cluster.records.engine, cluster.name):
        cluster.carry_out(journal)
    assert not cluster.run.terminated
    again = cluster.whole()
    cluster.play(*again)
    cluster.carry_out(journal)
    assert {step.state for step in cluster.steps.values()} == {State.SUCCEEDED}
    assert cluster.kubeflow.count("run_service_create_run") == 1


def test_a_process_that_another_one_replaced_stops_looking(cluster, monkeypatch):
    monkeypatch.setattr(remotes, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(remotes, "look", lambda engine, run: False)
    cluster.play(cluster.whole()[0], *[lambda run: None] * 500)
    with pytest.raises(errors.LeaseLost):
        cluster.carry_out()
    assert not cluster.run.terminated
    assert "looking" not in [thread.name for thread in threading.enumerate()]


def test_the_filter_names_the_run_exactly(cluster):
    cluster.play(*cluster.whole())
    other = cluster.kubeflow
    body = {"display_name": "small 2", "experiment_id": "x", "runtime_config": {"parameters": {}}}
    other.start(body)
    cluster.carry_out()
    assert len(other.runs) == 2
    assert json.dumps(other.problems) == "[]"
