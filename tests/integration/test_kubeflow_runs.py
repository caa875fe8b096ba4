"""`pilotage run --on kubeflow` in processes of its own: the same file really executed, killed, cancelled."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.integration.test_pipelines_runs import write_pilot
from tests.kubeflows import Kubeflow, Pod, Pods, Run, Step, now

from pilotage.core import settings
from pilotage.core.registry import Registry
from pilotage.core.storage import Storage
from pilotage.pipelines import schedulers, tables
from pilotage.pipelines.journals.records import Records
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.machines import environments
from pilotage.pipelines.queue import remotes, requests

PODS = Path(__file__).parents[1] / "kubeflow_pods.py"


def variables(folder: Path, url: str, tracking: str = "http://127.0.0.1:1") -> dict[str, str]:
    """The environment of a process whose Kubeflow is at `url`."""
    known = settings.load(
        home=folder / "home",
        storage_url=str(folder / "shared"),
        mlflow_tracking_uri=tracking,
        kubeflow_url=url,
        kubeflow_poll_seconds=0.1,
    )
    return {**os.environ, **environments.variables(known)}


def start(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pilotage.console", "run", *words, "--on", "kubeflow", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pilot_of(folder: Path, name: str = "small") -> Path:
    shared = f"cluster: {{volumes: [{{pvc_name: shared, mount_path: {folder / 'shared'}}}]}}"
    return write_pilot(folder / "pilot", name, shared)


@pytest.fixture
def kubeflow() -> Iterator[Kubeflow]:
    server = Kubeflow()
    yield server
    server.stop()
    assert server.problems == []


def until(true: Any, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    """A real MLflow server, which is all that pods and followers share but the storage."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["server", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    store += ["--artifacts-destination", str(tmp_path / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words, *store],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (tmp_path / "mlflow.log").read_text()
        try:
            return httpx.get(f"{url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    until(ready)
    yield url
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Executed:
    """Lets a process carry out what was submitted, and the API tell of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = ""

    def __call__(self, run: Run, kubeflow: Kubeflow) -> None:
        if run.state == "PENDING":
            run.state = "RUNNING"
            threading.Thread(target=self._carry_out, args=(run,), daemon=True).start()

    def _carry_out(self, run: Run) -> None:
        file = self.folder / "submitted.json"
        pipeline, parameters = run.body["pipeline_spec"], run.body["runtime_config"]["parameters"]
        file.write_text(json.dumps({"pipeline_spec": pipeline, "arguments": parameters}))
        with subprocess.Popen(
            [sys.executable, str(PODS), str(file), str(self.folder / "pods")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            for line in process.stdout or ():
                self.output += line
                if line.startswith('{"kind"'):
                    self._tell(run, **json.loads(line))
        run.state = "SUCCEEDED" if process.returncode == 0 else "FAILED"

    def _tell(self, run: Run, kind: str, step: str | None, state: str | None) -> None:
        if kind == "step_started" and step:
            run.steps[step] = Step(pods=[Pod(log=f"{step} goes on\n".encode())])
        elif kind == "step_ended" and step:
            run.steps[step].ended = now()
            run.steps[step].state = "SUCCEEDED" if state == "succeeded" else "FAILED"
            run.steps[step].pods[0].state = run.steps[step].state


@pytest.mark.slow
def test_the_submitted_file_is_executed_to_a_registered_version(
    tmp_path: Path, kubeflow: Kubeflow, mlflow_server: str
) -> None:
    pilot = pilot_of(tmp_path)
    executed = kubeflow.play = Executed(tmp_path)
    environment = variables(tmp_path, kubeflow.url, mlflow_server)
    environment["PILOTAGE_COMPONENTS_SECRET"] = "credentials"
    with start(environment, str(pilot)) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, f"{out}{err}{executed.output}"
    document = json.loads(out)
    assert [(step["name"], step["state"]) for step in document["steps"]] == [
        (step, "succeeded") for step in STEPS
    ]
    assert (document["state"], document["version"], document["promoted"]) == ("succeeded", 1, True)
    assert document["metrics"]["roc_auc"] > 0.7
    assert all(gate["passed"] for gate in document["gates"])
    ours = settings.load(
        home=tmp_path / "home", storage_url=str(tmp_path / "shared"), mlflow_tracking_uri=mlflow_server
    )
    (version,) = Registry(ours).versions("small")
    assert version.tags["pilotage.run"] == document["run"]
    records = Records(tables.connect(ours))
    steps = {step.name: step for step in records.steps(document["run"])}
    assert steps["train"].log is not None
    assert steps["train"].log.read_text() == "train goes on\n"
    assert (steps["evaluate"].metrics["roc_auc"], steps["train"].attempt) == (
        document["metrics"]["roc_auc"],
        1,
    )
    compiled = tmp_path / "compiled.yaml"
    words = [sys.executable, "-m", "pilotage.console", "compile", str(pilot), "-o", str(compiled)]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60)
    (run,) = kubeflow.runs.values()
    ir, platform = list(yaml.safe_load_all(compiled.read_text()))
    del ir["root"]["inputDefinitions"]["parameters"]["folder"]["defaultValue"]
    submitted = run.body["pipeline_spec"]
    del submitted["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]["folder"]["defaultValue"]
    assert (ir, platform) == (submitted["pipeline_spec"], submitted["platform_spec"])


@pytest.mark.slow
def test_a_follower_that_is_killed_is_replaced_and_nothing_is_submitted_twice(
    tmp_path: Path, kubeflow: Kubeflow
) -> None:
    pilot, pods = pilot_of(tmp_path), Pods(Storage(str(tmp_path / "shared")))
    environment = variables(tmp_path, kubeflow.url)

    def wait(run: Run, _: Kubeflow) -> None:
        if "ingest" not in run.steps:
            pods.begin(run, "ingest")

    kubeflow.play = wait
    with start(environment, str(pilot)) as process:
        until(lambda: any(run.looks > 3 for run in list(kubeflow.runs.values())))
        process.send_signal(signal.SIGKILL)
    ours = settings.load(home=tmp_path / "home")
    records = Records(tables.connect(ours))
    (record,) = records.runs()
    assert record.state is State.RUNNING
    assert record.remote is not None
    assert record.remote["id"] in kubeflow.runs
    assert remotes.recover(records.engine) == [record.id]
    told = {"type": "DataError", "message": "No rows.", "remedy": "", "exit_code": 2, "details": {}}

    def fail(run: Run, _: Kubeflow) -> None:
        if run.steps["ingest"].state == "RUNNING":
            pods.fail(run, "ingest", told)
        run.state = "FAILED"

    kubeflow.play = fail
    with start(environment, str(pilot)) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 2, f"{out}{err}"
    document = json.loads(out)
    assert (document["run"], document["error"]["message"]) == (record.id, "No rows.")
    assert kubeflow.count("run_service_create_run") == 1
    assert records.run(record.id).state is State.FAILED


@pytest.mark.slow
def test_a_scheduler_starts_a_process_for_a_run_that_lost_its_own_and_it_can_be_cancelled(
    tmp_path: Path, kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    pilot, pods = pilot_of(tmp_path), Pods(Storage(str(tmp_path / "shared")))
    environment = variables(tmp_path, kubeflow.url)
    kubeflow.play = lambda run, _: None if "ingest" in run.steps else pods.begin(run, "ingest")
    with start(environment, str(pilot)) as process:
        until(lambda: any(run.looks > 3 for run in list(kubeflow.runs.values())))
        process.send_signal(signal.SIGKILL)
    for name, value in environment.items():
        if re.match("PILOTAGE_|MLFLOW_", name):
            monkeypatch.setenv(name, value)
    ours = settings.load()
    records = Records(tables.connect(ours))
    (record,) = records.runs()
    assert remotes.recover(records.engine) == [record.id]
    assert requests.cancel(records.engine, record.id, "ann") is State.PENDING, "a process has to end it there"
    scheduler = schedulers.Scheduler(ours)

    def cancelled() -> bool:
        scheduler.tick()
        return records.run(record.id).ended_at is not None

    until(cancelled)
    for launched in scheduler._launched:
        launched.wait(30)
    scheduler.resign()
    assert records.run(record.id).state is State.CANCELLED
    (run,) = kubeflow.runs.values()
    assert run.terminated


def test_what_is_missing_is_said_before_anything_is_submitted(tmp_path: Path, kubeflow: Kubeflow) -> None:
    environment = variables(tmp_path, kubeflow.url)
    del environment["MLFLOW_TRACKING_URI"]
    with start(environment, str(pilot_of(tmp_path))) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "MLFLOW_TRACKING_URI" in json.loads(out)["error"]["remedy"]
    assert kubeflow.asked == []
