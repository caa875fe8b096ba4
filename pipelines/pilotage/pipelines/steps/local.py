"""Executes a compiled pipeline on this machine, through kfp's own local orchestrator.

kfp orders the tasks, resolves placeholders and passes artifacts; the one thing
replaced is its task handler: ours asks the cache first and else runs the
component in a warm forked process, with a time limit, a memory limit and
retries. kfp's orchestrator has global state, so one process carries out one
run at a time; runs side by side are processes side by side.
"""

from __future__ import annotations

import json
import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp import local as kfp_local
from kfp.local import (
    logging_utils,
    pipeline_orchestrator,
    status,
    subprocess_task_handler,
    task_dispatcher,
    task_handler_interface,
)
from kfp.local.orchestrator import task_executor
from kfp.pipeline_spec import pipeline_spec_pb2

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.journals.events import Journal
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.machines import environments, processes
from pilotage.pipelines.steps.caches import Cache
from pilotage.pipelines.steps.workers import Ending, Job, Limits, Workers

_KFP_LOGGER = logging.getLogger("pilotage.kfp")
_KFP_LOGGER.setLevel(logging.WARNING)  # the journal tells what kfp would say at INFO

_SOURCE_MARK = "ephemeral_component.py"
"""The shell line of a compiled Python component names this file; the source is the argument behind it."""
_MEMORY_SHARE = 0.9


@dataclass(frozen=True)
class _Command:
    """A compiled Python component with its placeholders resolved."""

    source: str
    function: str
    executor_input: dict[str, Any]

    @classmethod
    def parse(cls, words: list[str]) -> _Command:
        marks = [position for position, word in enumerate(words) if _SOURCE_MARK in word]
        if not marks:
            raise errors.InputError(
                f"The pipeline has a step that is not a Python component: `{' '.join(words)[:80]}`.",
                remedy="Run container components on Kubeflow.",
            )
        return cls(
            source=words[marks[0] + 1],
            function=words[words.index("--function_to_execute") + 1],
            executor_input=json.loads(words[words.index("--executor_input") + 1]),
        )

    @property
    def output_file(self) -> Path:
        return Path(self.executor_input["outputs"]["outputFile"])

    @property
    def input_digests(self) -> dict[str, str]:
        """Content digest by input artifact."""
        artifacts = self.executor_input.get("inputs", {}).get("artifacts", {})
        return {
            name: str(_first(value).get("metadata", {}).get("digest", ""))
            for name, value in artifacts.items()
        }


class LocalRunner:
    """Runs pipelines in forked processes of this machine."""

    def __init__(self, settings: Settings, journal: Journal, cache: Cache, workers: Workers) -> None:
        self._settings = settings
        self._journal = journal
        self._cache = cache
        self._logs = settings.logs / journal.run
        self._workers = workers
        memory = settings.step_memory_mb << 20 or int(processes.machine_bytes() * _MEMORY_SHARE)
        self._limits = Limits(settings.step_timeout_seconds, memory)

    def run(self, pipeline: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Execute IR with arguments; states and outputs go to the journal.

        Raises:
            PilotageError: what a step failed with.
        """
        spec = pipeline_spec_pb2.PipelineSpec()
        json_format.ParseDict(dict(pipeline), spec)
        root = self._settings.home / "runs" / self._journal.run
        kfp_local.init(
            runner=kfp_local.SubprocessRunner(use_venv=False),
            pipeline_root=str(root),
            workspace_root=str(root / "workspace"),  # never made; kfp deletes it after the run
        )
        with _handled_by(self._execute), warnings.catch_warnings():
            # of what steps ask a cluster for, which this machine does not have
            warnings.filterwarnings("ignore", ".*have no effect in the current local runner", UserWarning)
            pipeline_orchestrator.run_local_pipeline(spec, dict(arguments))

    def _execute(self, words: list[str]) -> None:
        command = _Command.parse(words)
        step, inputs = command.function, command.input_digests
        hit = self._cache.find(step, inputs)
        if hit is not None:
            command.output_file.parent.mkdir(parents=True, exist_ok=True)
            command.output_file.write_text(json.dumps(hit), encoding="utf-8")
            self._journal.cached(step, inputs, _artifacts(hit))
            return
        output = self._attempts(command, inputs)
        self._cache.store(step, inputs, output)

    def _attempts(self, command: _Command, inputs: Mapping[str, str]) -> dict[str, Any]:
        step = command.function
        log, report = self._logs / f"{step}.log", self._logs / f"{step}.error.json"
        job = Job(
            step=step,
            source=command.source,
            function=command.function,
            executor_input=command.executor_input,
            environment=environments.variables(self._settings),
            log=log,
            error=report,
        )
        attempt = 0
        while True:
            attempt += 1
            report.unlink(missing_ok=True)
            self._journal.started(step, attempt, log, inputs)
            began = time.monotonic()
            try:
                ending = self._workers.run(job, self._limits, lambda line: self._journal.line(step, line))
            except BaseException as interruption:
                message = {"type": type(interruption).__name__, "message": "The run was stopped."}
                self._journal.failed(step, State.CANCELLED, time.monotonic() - began, message)
                raise
            seconds = ending.seconds
            self._journal.used(step, ending.usage)
            if ending.code == 0 and not ending.killed_because and command.output_file.is_file():
                output: dict[str, Any] = json.loads(command.output_file.read_bytes())
                self._journal.succeeded(step, seconds, _artifacts(output), ending.peak_bytes)
                return output
            error = _error(step, ending, log, report)
            if attempt > self._settings.step_retries or not _may_retry(ending):
                described = {**_description(error), "exit_code": int(error.exit_code)}
                self._journal.failed(step, State.FAILED, seconds, described, ending.peak_bytes)
                raise error
            wait = self._settings.step_backoff_seconds * 2 ** (attempt - 1)
            self._journal.retried(step, attempt, wait, _description(error))
            _append(log, f"attempt {attempt} failed; the next begins in {wait:g} s")
            time.sleep(wait)


def _may_retry(ending: Ending) -> bool:
    return ending.code == errors.ExitCode.FAILED and not ending.killed_because


def _error(step: str, ending: Ending, log: Path, report: Path) -> errors.PilotageError:
    """What a step failed with: its own error as it described it, or how its process ended."""
    if not ending.killed_because and ending.code > 0 and report.is_file():
        content = json.loads(report.read_bytes())
        kind = getattr(errors, content["type"], None)
        if isinstance(kind, type) and issubclass(kind, errors.PilotageError):
            details = {"step": step, "log": str(log), **content["details"]}
            return kind(content["message"], remedy=content["remedy"], **details)
        return errors.StepFailed(
            f"Step `{step}` failed with {content['type']}: {content['message']}",
            remedy=f"The traceback is in {log}.",
            step=step,
            log=str(log),
        )
    reason = ending.killed_because or _how(ending.code)
    _append(
        log, f"step `{step}` was ended: {reason}" if ending.killed_because else f"step `{step}`: {reason}"
    )
    return errors.StepFailed(
        f"Step `{step}` failed: {reason}.",
        remedy=f"See {log}; PILOTAGE_STEP_TIMEOUT_SECONDS and PILOTAGE_STEP_MEMORY_MB set the limits.",
        step=step,
        log=str(log),
        exit_code=ending.code,
    )


def _how(code: int) -> str:
    if code == 0:
        return "its process ended before it had written its outputs"
    if code < 0:
        return f"its process was ended by {_signal_name(-code)}"
    return f"its process ended with exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _description(error: errors.PilotageError) -> dict[str, Any]:
    return {"type": type(error).__name__, "message": error.message, "remedy": error.remedy}


def _append(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"pilotage: {line}\n")


def _first(value: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = value["artifacts"][0]
    return found


def _artifacts(output: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Metadata and uri by artifact of an executor output."""
    found = {name: _first(value) for name, value in output.get("artifacts", {}).items()}
    return {name: {**item.get("metadata", {}), "uri": item["uri"]} for name, item in found.items()}


def _handler(execute: Callable[[list[str]], None]) -> type[task_handler_interface.ITaskHandler]:
    class Handler(task_handler_interface.ITaskHandler):  # type: ignore[misc]
        """Stands in for kfp's subprocess handler."""

        def __init__(
            self, image: str, full_command: list[str], pipeline_root: str, runner: Any, env_vars: Any
        ) -> None:
            self._words = full_command

        def run(self) -> status.Status:
            execute(self._words)
            return status.Status.SUCCESS

    return Handler


@contextmanager
def _handled_by(execute: Callable[[list[str]], None]) -> Iterator[None]:
    """Give kfp's orchestrator our task handler and keep it from writing to our standard output.

    kfp has no setting for either: it looks its handler up by the runner's
    class, and replaces the root logger's handlers while it runs.
    """
    changes: list[tuple[Any, str, Any]] = [
        (subprocess_task_handler, "SubprocessTaskHandler", _handler(execute)),
        (logging_utils, "local_logger_context", nullcontext),
        (logging_utils, "indented_print", nullcontext),
        (logging_utils, "print_horizontal_line", lambda: None),
        *(
            (module, "logging", _KFP_LOGGER)
            for module in (pipeline_orchestrator, task_dispatcher, task_executor)
        ),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
