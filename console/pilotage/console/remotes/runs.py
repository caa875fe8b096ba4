"""`run` and `runs` at a console elsewhere: what they print is what they print here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pilotage.console.commands.arguments import name_of
from pilotage.console.commands.runs import run_document, step_document
from pilotage.console.operations.execution.costs import RunCost
from pilotage.console.outputs import Output
from pilotage.console.remotes.clients import Remote, segment
from pilotage.console.sessions import Session
from pilotage.console.views import runs as views
from pilotage.console.views.progress import RunProgress
from pilotage.core import errors
from pilotage.core.artifacts import Decision, Scorecard
from pilotage.core.places import Place
from pilotage.pipelines.execution.runs import RunResult
from pilotage.pipelines.journals.events import Event, Kind, StepOutcome
from pilotage.pipelines.journals.records import RunRecord, StepRecord
from pilotage.pipelines.journals.states import State

_EVERY_SECONDS = 0.5
_OVER = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DIED)
_STEP_OVER = (*_OVER, State.CACHED)


def run(session: Session, pilot: str, no_cache: bool = False, on: Place | None = None) -> int:
    """Start a run there and follow it to its end.

    Raises:
        InputError: it is said where the run goes, which that console's settings say.
    """
    if on is not None:
        raise errors.InputError(
            f"`--on {on.value}` is for an installation of this machine; {session.settings.url} says itself"
            " where its runs go.",
            remedy="Leave `--on` out, or set PILOTAGE_RUN_ON for that console.",
        )
    name, remote = name_of(pilot), session.remote
    wanted = {"parameters": {"cache": not no_cache}}
    begun = remote.post(f"/pilots/{segment(name)}/runs", wanted)
    session.output.say(f"Run {begun['id']} of {name} is asked for at {remote.url}.")
    try:
        ended = _follow(session.output, remote, begun["id"])
    except KeyboardInterrupt:
        session.output.say(f"It goes on there; `pilotage runs cancel {begun['id']}` ends it.")
        raise
    return _answer(session, remote, ended)


def list_runs(session: Session, pilot: str | None = None, limit: int = 20) -> None:
    """What ran there, newest first."""
    found = session.remote.items("/runs", limit, pilot=name_of(pilot) if pilot else None)
    records = [_record(item) for item in found]
    session.output.answer(
        {"runs": [run_document(record) for record in records]},
        lambda console: views.show_runs(console, records),
    )


def show_run(session: Session, run_id: str) -> None:
    """What one run did there."""
    found = session.remote.get(f"/runs/{segment(run_id)}")
    record, steps = _record(found), [_step(found["id"], step) for step in found["steps"]]
    told = session.remote.get(f"/runs/{segment(found['id'])}/costs")
    cost = RunCost.model_validate(told)
    document = {
        **run_document(record),
        "steps": [step_document(step) for step in steps],
        "costs": told,
    }
    session.output.answer(document, lambda console: views.show_run(console, record, steps, cost))


def show_logs(session: Session, run_id: str, step: str | None = None) -> None:
    """What the steps of a run wrote there."""
    remote = session.remote
    found = remote.get(f"/runs/{segment(run_id)}")
    names = [item["name"] for item in found["steps"]]
    if step is not None and step not in names:
        raise errors.NotFound(
            f"Run {found['id']} has no step `{step}`.", remedy=f"Its steps are {', '.join(names)}."
        )
    wanted = [item["name"] for item in found["steps"] if item["has_log"] and step in (None, item["name"])]
    logs = {name: _log(remote, found["id"], name) for name in wanted}
    session.output.answer({"run": found["id"], "logs": logs}, lambda console: views.show_logs(console, logs))


def cancel_run(session: Session, run_id: str, why: str = "") -> None:
    """End a run there."""
    found = session.remote.post(f"/runs/{segment(run_id)}/cancel", {"why": why})
    said = "is cancelled" if State(found["state"]) in _OVER else "was told to stop"
    session.output.answer(found, lambda console: console.print(f"Run [bold]{found['id']}[/] {said}."))


def retry_run(session: Session, run_id: str, why: str = "") -> None:
    """Ask for a run like one that ended there."""
    found = session.remote.post(f"/runs/{segment(run_id)}/retry", {"why": why})
    session.output.answer(
        found, lambda console: console.print(f"Run [bold]{found['id']}[/] is {found['state']}.")
    )


def _follow(output: Output, remote: Remote, run: str) -> Mapping[str, Any]:
    """The run once it has ended; its steps are shown meanwhile."""
    known: dict[str, str] = {}
    with RunProgress(output) as progress:
        while True:
            found: dict[str, Any] = remote.get(f"/runs/{segment(run)}")
            for step in found["steps"]:
                for event in _events(run, step, known.get(step["name"])):
                    progress.on_event(event)
                known[step["name"]] = step["state"]
            if State(found["state"]) in _OVER:
                return found
            time.sleep(_EVERY_SECONDS)


def _events(run: str, step: Mapping[str, Any], before: str | None) -> list[Event]:
    """What happened to a step since its state was `before`."""
    if step["state"] == (before or State.PENDING):
        return []
    told: list[Event] = []
    now, state = datetime.now(UTC), State(step["state"])
    if before in (None, State.PENDING) and state is not State.PENDING:
        told.append(Event(Kind.STEP_STARTED, run, now, step["name"]))
    if state in _STEP_OVER:
        message = str((step["error"] or {}).get("message", ""))
        told.append(Event(Kind.STEP_ENDED, run, now, step["name"], state, message, seconds=step["seconds"]))
    return told


def _answer(session: Session, remote: Remote, ended: Mapping[str, Any]) -> int:
    result = _result(ended)
    document = ended["result"] or result.document
    scorecard = _scorecard(remote, result)
    session.output.answer(document, lambda console: views.show_result(console, result, scorecard))
    if result.error and not session.output.as_json:
        error = result.error
        session.output.error(error["type"], error["message"], error.get("remedy", ""), result.exit_code)
    return result.exit_code


def _result(ended: Mapping[str, Any]) -> RunResult:
    told = ended["result"] or {}
    steps = [
        StepOutcome(step["name"], State(step["state"]), step["seconds"] or 0.0, step["cached"])
        for step in ended["steps"]
    ]
    code = ended["exit_code"]
    return RunResult(
        run=ended["id"],
        pilot=ended["pilot"],
        state=State(ended["state"]),
        exit_code=int(errors.ExitCode.FAILED) if code is None else int(code),
        seconds=ended["seconds"] or 0.0,
        steps=tuple(steps),
        snapshot=told.get("snapshot"),
        version=told.get("version"),
        promoted=bool(told.get("promoted")),
        decision=Decision(told["decision"]) if told.get("decision") else None,
        reason=told.get("reason", ""),
        metrics=told.get("metrics", {}),
        gates=tuple(told.get("gates", ())),
        error=ended["error"],
    )


def _scorecard(remote: Remote, result: RunResult) -> Scorecard | None:
    if result.version is None:
        return None
    try:
        path = f"/pilots/{segment(result.pilot)}/versions/{result.version}/scorecard"
        return Scorecard.model_validate(remote.get(path))
    except errors.PilotageError:
        return None


def _log(remote: Remote, run: str, step: str) -> str:
    parts, offset = [], 0
    while True:
        part = remote.get(f"/runs/{segment(run)}/logs", step=step, offset=offset)
        parts.append(part["text"])
        if part["next"] == offset or not part["text"]:
            return "".join(parts)
        offset = part["next"]


_MOMENT = TypeAdapter(datetime | None)


def _record(item: Mapping[str, Any]) -> RunRecord:
    moments: dict[str, Any] = {
        name: _MOMENT.validate_python(item.get(name))
        for name in ("asked_at", "started_at", "ended_at", "due_at", "cancel_asked_at")
    }
    result = item.get("result") or {"version": item["version"], "promoted": item["promoted"]}
    same: dict[str, Any] = {name: item.get(name) for name in _SAME}
    return RunRecord(
        **same,
        **moments,
        state=State(item["state"]),
        parameters=item.get("parameters") or {},
        folder=Path(item.get("folder") or ""),
        spec=item.get("spec") or {},
        error=item.get("error") or ({"message": item["message"]} if item["message"] else None),
        result=result if item["exit_code"] is not None else None,
        process=None,
    )


_SAME = (
    *("id", "pilot", "asked_by", "why", "retry_of", "schedule", "trigger", "cancel_asked_by", "exit_code"),
)


def _step(run: str, item: Mapping[str, Any]) -> StepRecord:
    return StepRecord(
        run=run,
        name=item["name"],
        state=State(item["state"]),
        cached=item["cached"],
        attempt=item["attempt"],
        started_at=_MOMENT.validate_python(item["started_at"]),
        ended_at=_MOMENT.validate_python(item["ended_at"]),
        seconds=item["seconds"],
        peak_memory_bytes=item["peak_memory_bytes"],
        log=None,
        inputs=item["inputs"],
        outputs=item["outputs"],
        metrics=item["metrics"],
        error=item["error"],
    )
