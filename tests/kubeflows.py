"""Kubeflow's API as a server of the tests: it checks every request against the API's own description.

Answers are built from the models of that description and checked, too. Runs are
played by the test that owns the server: what their pods do is said by `Pods`, or by
a process that really executes what was submitted (see `kubeflow_pods`).
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import kfp_server_api as api
from tests import openapis

from pilotage.components import outcomes
from pilotage.core.artifacts import Outcome
from pilotage.core.storage import Storage
from pilotage.pipelines.kubeflow import clients

STEPS = ("ingest", "validate", "train", "evaluate", "register")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Pod:
    """One attempt of a step."""

    state: str = "RUNNING"
    log: bytes = b""
    lost: bool = False
    """Whether its log cannot be had."""
    said: str = ""


@dataclass
class Step:
    """A task of a run, as Argo's nodes tell of it."""

    state: str = "RUNNING"
    pods: list[Pod] = field(default_factory=lambda: [Pod()])
    began: datetime = field(default_factory=now)
    ended: datetime | None = None


@dataclass
class Run:
    """A run that was submitted."""

    body: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=now)
    state: str = "PENDING"
    steps: dict[str, Step] = field(default_factory=dict)
    said: str = ""
    terminated: bool = False
    recurring: str | None = None
    looks: int = 0

    @property
    def key(self) -> str:
        """What its steps are told that the run is called."""
        return self.body["runtime_config"]["parameters"].get("run") or self.id

    def node(self, step: str, part: str) -> str:
        """Name of a pod, which ends in the number of its node."""
        return f"training-x1-system-{part}-{abs(hash((self.id, step, part))) % 10**9 + 1}"

    def model(self) -> Any:
        """As the API gives it."""
        return api.V2beta1Run(
            run_id=self.id,
            experiment_id=self.body["experiment_id"],
            display_name=self.body["display_name"],
            created_at=self.created,
            scheduled_at=self.created,
            finished_at=now() if self.state in ("SUCCEEDED", "FAILED", "CANCELED") else EPOCH,
            state=self.state,
            recurring_run_id=self.recurring,
            error=api.GoogleRpcStatus(code=2, message=self.said) if self.said else None,
            run_details=api.V2beta1RunDetails(task_details=self._details()) if self.steps else None,
        )

    def _details(self) -> list[Any]:
        found = [self._detail("root-driver", "SUCCEEDED", "", [], self.created, self.created)]
        for name, step in self.steps.items():
            driver = self.node(name, "container-driver")
            found.append(self._detail(f"{name}-driver", "SUCCEEDED", driver, [], step.began, step.began))
            retried = len(step.pods) > 1
            pods = [self.node(name, f"container-impl{number}") for number in range(len(step.pods))]
            parent = self.node(name, "retry")
            children = [parent] if retried else pods
            found.append(
                self._detail(
                    name,
                    step.state,
                    f"x-{abs(hash((self.id, name))) % 10**9}",
                    children,
                    step.began,
                    step.ended,
                )
            )
            if retried:
                found.append(self._detail("executor", step.state, parent, pods, step.began, step.ended))
            for number, pod in enumerate(step.pods):
                called = f"executor({number})" if retried else "executor"
                found.append(
                    self._detail(called, pod.state, pods[number], [], step.began, step.ended, pod.said)
                )
        return found

    def _detail(
        self,
        name: str,
        state: str,
        pod: str,
        children: list[str],
        began: datetime,
        ended: datetime | None,
        said: str = "",
    ) -> Any:
        child_tasks = [
            # Argo names children by their nodes, whose number their pods' names end in
            api.PipelineTaskDetailChildTask(pod_name=f"training-x1-{child.rsplit('-', 1)[-1]}")
            for child in children
        ]
        return api.V2beta1PipelineTaskDetail(
            run_id=self.id,
            task_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.id}{name}{pod}")),
            display_name=name,
            create_time=self.created,
            start_time=began,
            end_time=ended or EPOCH,
            state=state,
            pod_name=pod,
            child_tasks=child_tasks,
            error=api.GoogleRpcStatus(code=2, message=said) if said else None,
        )

    def log_of(self, node: str) -> bytes | None:
        for name, step in self.steps.items():
            for number, pod in enumerate(step.pods):
                if self.node(name, f"container-impl{number}") == node:
                    return None if pod.lost else pod.log
        return None


Play = Callable[["Run", "Kubeflow"], None]
"""What becomes of a run, each time somebody looks at it."""


class Pods:
    """What steps do in their pods, and tell through the storage."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def begin(self, run: Run, step: str, attempt: int = 1) -> None:
        run.state = "RUNNING"
        if attempt == 1:
            run.steps[step] = Step()
        else:
            run.steps[step].pods[-1].state = "FAILED"
            run.steps[step].pods.append(Pod())
        run.steps[step].pods[-1].log = f"{step} attempt {attempt}\n".encode()
        self.tell(run, step, attempt, "running")

    def succeed(self, run: Run, step: str, artifact: str, **metadata: Any) -> None:
        files = {artifact: (f"{artifact}.json",)}
        self.storage.write(f"{outcomes.place(run.key, step)}/{artifact}/{artifact}.json", b"{}")
        attempt = len(run.steps[step].pods)
        self.tell(
            run, step, attempt, "succeeded", outputs={artifact: metadata}, files=files, peak_memory_bytes=5
        )
        self._close(run, step, "SUCCEEDED")

    def fail(self, run: Run, step: str, error: dict[str, Any] | None, said: str = "") -> None:
        """Without an error it ends before it can say why."""
        if error is not None:
            self.tell(run, step, len(run.steps[step].pods), "failed", error=error)
        run.steps[step].pods[-1].said = said
        self._close(run, step, "FAILED")

    def tell(self, run: Run, step: str, attempt: int, state: str, **more: Any) -> None:
        outcome = Outcome(
            run=run.key,
            step=step,
            attempt=attempt,
            state=state,
            started_at=now(),
            **more,
        )
        self.storage.write(
            f"{outcomes.place(run.key, step)}/{Outcome.FILE}", outcome.model_dump_json().encode()
        )

    def _close(self, run: Run, step: str, state: str) -> None:
        run.steps[step].state = run.steps[step].pods[-1].state = state
        run.steps[step].ended = now() + timedelta(seconds=1)


class Kubeflow:
    """The server. `problems` stays empty while every request and answer is as described."""

    def __init__(self, play: Play | None = None, *, certificate: tuple[Path, Path] | None = None) -> None:
        self.play = play
        self.problems: list[str] = []
        self.runs: dict[str, Run] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.tokens: set[str] | None = None
        """Those that are taken; None where none is asked for."""
        self.faults: dict[str, list[Any]] = {}
        """By operation, what the next requests get: a status, `drop`, `drop after` or seconds to wait."""
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, operation: str) -> int:
        """How often an operation was asked for."""
        return self.asked.count(operation)

    def start(self, body: dict[str, Any], recurring: str | None = None) -> Run:
        """Have a run, as if it had been submitted."""
        run = Run(body, recurring=recurring)
        self.runs[run.id] = run
        return run

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Status and document of one request."""
        for operation in openapis.operations():
            found = operation.match(method, path)
            if found is None:
                continue
            wrong = openapis.query_problems(operation, query)
            if operation.body is not None:
                wrong += openapis.problems(body, operation.body, "body")
            elif body is not None:
                wrong.append("a body is given where none is described")
            if "filter" in query:
                wrong += openapis.problems(json.loads(query["filter"][0]), "V2beta1Filter", "filter")
            if wrong:
                self.problems += [f"{operation.name}: {problem}" for problem in wrong]
                return 400, {"code": 3, "message": "; ".join(wrong)}
            with self._lock:
                status, said = getattr(self, operation.name)(
                    query={name: values[0] for name, values in query.items()}, body=body, **found
                )
            if status == 200:
                wrong = openapis.problems(said, operation.answer, "answer")
                self.problems += [f"{operation.name}: {problem}" for problem in wrong]
            return status, said
        self.problems.append(f"no operation is `{method} {path}`")
        return 404, {"code": 5, "message": "Not Found"}

    def experiment_service_list_experiments(self, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        named = _name_in(query)
        known = [item for item in self.experiments.values() if named in (None, item["display_name"])]
        return 200, {"experiments": known, "total_size": len(known)} if known else {}

    def experiment_service_create_experiment(self, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        made = {**body, "experiment_id": str(uuid.uuid4()), "created_at": now().isoformat()}
        self.experiments[made["experiment_id"]] = made
        return 200, made

    def run_service_create_run(self, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        return 200, _document(self.start(body).model())

    def run_service_list_runs(self, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        named = _name_in(query)
        known = [
            run
            for run in self.runs.values()
            if run.body["experiment_id"] == query["experiment_id"]
            and named in (None, run.body["display_name"])
        ]
        known.sort(key=lambda run: run.created, reverse=True)
        begin, size = int(query.get("page_token") or 0), min(int(query.get("page_size") or 10), 2)
        page = known[begin : begin + size]
        more = {"next_page_token": str(begin + size)} if begin + size < len(known) else {}
        return 200, {"runs": [_document(run.model()) for run in page], "total_size": len(known), **more}

    def run_service_get_run(self, run_id: str, **_: Any) -> tuple[int, Any]:
        run = self.runs.get(run_id)
        if run is None:
            return 404, {"code": 5, "message": f"Run {run_id} not found"}
        run.looks += 1
        if run.terminated and run.state not in ("SUCCEEDED", "FAILED"):
            run.state = "CANCELED"
        elif self.play is not None:
            self.play(run, self)
        return 200, _document(run.model())

    def run_service_terminate_run(self, run_id: str, **_: Any) -> tuple[int, Any]:
        if run_id not in self.runs:
            return 404, {"code": 5, "message": f"Run {run_id} not found"}
        self.runs[run_id].terminated = True
        return 200, {}

    def recurring_run_service_list_recurring_runs(self, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        known = [item for item in self.recurring.values() if item["experiment_id"] == query["experiment_id"]]
        return 200, {"recurringRuns": known, "total_size": len(known)}

    def recurring_run_service_create_recurring_run(self, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        status = "ENABLED" if body["mode"] == "ENABLE" else "DISABLED"
        made = {
            **body, "recurring_run_id": str(uuid.uuid4()), "status": status, "created_at": now().isoformat(),
        }  # fmt: skip
        self.recurring[made["recurring_run_id"]] = made
        return 200, made

    def recurring_run_service_disable_recurring_run(self, recurring_run_id: str, **_: Any) -> tuple[int, Any]:
        if recurring_run_id not in self.recurring:
            return 404, {"code": 5, "message": "not found"}
        self.recurring[recurring_run_id] |= {"status": "DISABLED", "mode": "DISABLE"}
        return 200, {}

    def recurring_run_service_delete_recurring_run(self, recurring_run_id: str, **_: Any) -> tuple[int, Any]:
        if self.recurring.pop(recurring_run_id, None) is None:
            return 404, {"code": 5, "message": "not found"}
        return 200, {}

    def log(self, run: str, node: str) -> tuple[int, bytes]:
        """What the path of logs gives, which the description does not have."""
        found = self.runs[run].log_of(node) if run in self.runs else None
        if found is None:
            said = {"error_message": f"pods {node} not found", "error_details": "NotFound"}
            return 500, json.dumps(said).encode()
        return 200, found


def _name_in(query: dict[str, str]) -> str | None:
    """The name that a filter asks for; others are not played."""
    if "filter" not in query:
        return None
    (predicate,) = json.loads(query["filter"])["predicates"]
    assert (predicate["operation"], predicate["key"]) == ("EQUALS", "display_name")
    return str(predicate["string_value"])


_CLIENT = api.ApiClient()


def _document(model: Any) -> Any:
    return _CLIENT.sanitize_for_serialization(model)


def _handler(kubeflow: Kubeflow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            words = parts.path.split("/")
            is_log = parts.path.startswith("/apis/v1alpha1/runs/") and words[-1] == "log"
            if is_log:
                expected = clients.LOG_PATH.format(run_id=words[4], node_id=words[6])
                if (self.command, parts.path, body, parts.query) != ("GET", expected, None, ""):
                    kubeflow.problems.append(f"no log is `{self.command} {self.path}`")
            name = "log" if is_log else self._operation(parts.path)
            kubeflow.asked.append(name)
            fault = kubeflow.faults.get(name, [])
            todo = fault.pop(0) if fault else None
            if todo == "drop":
                self.close_connection = True
                return
            if isinstance(todo, float):
                time.sleep(todo)
            if isinstance(todo, int):
                self._send(todo, json.dumps({"code": 13, "message": f"played {todo}"}).encode())
                return
            if kubeflow.tokens is not None and self._token() not in kubeflow.tokens:
                self._send(401, json.dumps({"error": "Token is invalid", "code": 16}).encode())
                return
            if is_log:
                self._send(*kubeflow.log(unquote(words[4]), unquote(words[6])), kind="text/plain")
                return
            query = parse_qs(parts.query, keep_blank_values=True)
            query = {key: values for key, values in query.items() if values != [""]}
            status, said = kubeflow.answer(self.command, unquote(parts.path), query, body)
            if todo == "drop after":
                self.close_connection = True
                return
            self._send(status, json.dumps(said).encode())

        def _token(self) -> str:
            return str(self.headers.get("Authorization") or "").removeprefix("Bearer ")

        def _operation(self, path: str) -> str:
            return next(
                (
                    known.name
                    for known in openapis.operations()
                    if known.match(self.command, path) is not None
                ),
                "unknown",
            )

        def _send(self, status: int, data: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815 - as the standard library calls them

    return Handler
