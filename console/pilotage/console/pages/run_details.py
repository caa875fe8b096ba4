"""One run: its steps as a graph and a table, their logs while they are written, what came out, and why."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.api.runs import REPORT_POLICY
from pilotage.console.operations import marks
from pilotage.console.operations.desks import Desk
from pilotage.console.operations.execution import costs, run_files, runs
from pilotage.console.operations.execution.runs import Run, Step
from pilotage.console.pages import rendering, streams, words
from pilotage.console.pages.figures import graphs
from pilotage.console.pages.runs import After
from pilotage.console.pages.streams import Reading
from pilotage.console.pages.tails import Tail
from pilotage.console.views import costs as views
from pilotage.pipelines.journals.states import State

router = APIRouter()

Why = Annotated[str, Form(max_length=1000)]
_TOLD = 5
"""Checks that are told of on the page; the report has all."""
_COMPARED = 25
"""Runs that are offered beside one."""


@dataclass(frozen=True)
class RunSource:
    """A run as some people see it."""

    desk: Desk
    actor: Actor
    run: str
    may: bool
    """Whether they may cancel and retry it."""

    @property
    def key(self) -> Hashable:
        """The run, and whether there are buttons."""
        return "run", self.run, self.may

    def fingerprint(self) -> Hashable:
        """Of the run and its steps."""
        return marks.of_run(self.desk, self.run)

    def read(self) -> Reading:
        """State, graph, steps and results."""
        run = runs.get_run(self.desk, self.actor, self.run)
        return self.reading_of(run)

    def reading_of(self, run: Run) -> Reading:
        """The same of a run that is known."""
        context = {
            "run": run,
            "may": self.may,
            "outcome": outcome_of(run),
            "checked": _checked(self.desk, run),
        }
        parts = {
            name: rendering.fragment(f"parts/run_{name}.html.j2", **context)
            for name in ("state", "steps", "results")
        }
        parts["graph"] = str(graphs.steps(run.id, [_node(run, step) for step in run.steps]))
        logs = {f"log-{step}": path for step, path in marks.logs_of(self.desk, run.id).items()}
        return Reading(parts, logs, run.ended)


@router.get("/runs/{run}")
def show_run(request: Request, desk: DeskParameter, actor: ActorParameter, run: str) -> HTMLResponse:
    """One run."""
    found = runs.get_run(desk, actor, run)
    source = RunSource(desk, actor, found.id, actor.may(Permission.OPERATE, found.pilot))
    reading = source.reading_of(found)
    begins = {name: _end_of(Tail(path)) for name, path in reading.logs.items()}
    others = runs.list_runs(desk, actor, pilot=found.pilot, limit=_COMPARED).items
    return rendering.live_page(
        request,
        "run.html.j2",
        reading,
        actor=actor,
        live="" if found.ended else f"/runs/{found.id}/live",
        offsets={name: end for name, (_, end) in begins.items()},
        run=found,
        may=source.may,
        logs={name.removeprefix("log-"): text for name, (text, _) in begins.items()},
        others=[other for other in others if other.id != found.id],
        changed=_changed(found),
        cost=costs.get_run_cost(desk, actor, found.id) if found.ended else None,
        cells=views.cells,
        basis=views.basis,
    )


@router.get("/runs/{run}/live")
def follow_run(
    request: Request, desk: DeskParameter, actor: ActorParameter, run: str, after: After = ""
) -> StreamingResponse:
    """The run while it goes on."""
    found = runs.get_run(desk, actor, run)
    source = RunSource(desk, actor, found.id, actor.may(Permission.OPERATE, found.pilot))
    return streams.respond(request, source, after)


@router.get("/runs/{run}/validation")
def show_report(desk: DeskParameter, actor: ActorParameter, run: str) -> HTMLResponse:
    """The validation report, which may neither run nor load anything."""
    text = run_files.get_report_page(desk, actor, run)
    return HTMLResponse(text, headers={"Content-Security-Policy": REPORT_POLICY})


@router.post("/runs/{run}/cancel")
def cancel_run(
    request: Request, desk: DeskParameter, actor: ActorParameter, run: str, why: Why = ""
) -> RedirectResponse:
    """Ask a run to stop."""
    found = runs.cancel_run(desk, actor, run, why=why)
    told = f"Run {found.id} was cancelled." if found.ended else f"Run {found.id} was asked to stop."
    return rendering.see(request, f"/runs/{found.id}", told)


@router.post("/runs/{run}/retry")
def retry_run(
    request: Request, desk: DeskParameter, actor: ActorParameter, run: str, why: Why = ""
) -> RedirectResponse:
    """Ask for a run like one that ended, and go on to its page."""
    found = runs.retry_run(desk, actor, run, why=why)
    return rendering.see(request, f"/runs/{found.id}", f"Run {found.id} takes up where {run} stopped.")


def outcome_of(run: Run) -> dict[str, Any]:
    """Metrics, gates and checks, as soon as there are some: steps tell before the run's result does."""
    result: Mapping[str, Any] = run.result or {}
    metrics: dict[str, Any] = dict(result.get("metrics") or {})
    for step in run.steps:
        if not metrics and step.name == "evaluate":
            metrics = dict(step.metrics)
    return {
        "metrics": metrics,
        "gates": result.get("gates") or (),
        "reason": result.get("reason") or "",
        "goal": (run.spec.get("goal") or {}).get("metric", ""),
        "target": (run.spec.get("goal") or {}).get("target"),
    }


@dataclass(frozen=True)
class Checked:
    """What validation said of a run's data."""

    success: bool
    checks: int
    failed: int
    """Checks that the data did not meet; where it passed, they warn."""
    told: tuple[tuple[str, str], ...]
    """What did not hold, by column or table: the first few."""


def _checked(desk: Desk, run: Run) -> Checked | None:
    """Of the run's report; its rows are read only where there is something to tell."""
    step = next((step for step in run.steps if step.name == "validate"), None)
    short = None if step is None else step.outputs.get("report")
    if step is None or (short is None and step.state is not State.FAILED):
        return None
    report = None if short is not None and not short.get("failed") else run_files.find_report(desk, run)
    if report is None:
        return Checked(short["success"], short["checks"], short["failed"], ()) if short else None
    wrong = [check for check in report.checks if not check.success]
    told = [(skew.column, skew.message) for skew in report.schema_skew]
    told += [(check.column or "the table", f"{check.expectation}: {check.observed}") for check in wrong]
    return Checked(report.success, len(report.checks), len(wrong), tuple(told[:_TOLD]))


def _node(run: Run, step: Step) -> graphs.Node:
    return graphs.Node(step.name, step.state, step.seconds, step.started_at, step.cached, _note(run, step))


def _note(run: Run, step: Step) -> str:
    """What came out of a step, in a few words."""
    outputs = step.outputs
    if step.name == "ingest" and "snapshot" in outputs:
        return f"{words.number(outputs['snapshot'].get('rows'))} rows"
    if step.name == "validate" and "report" in outputs:
        report = outputs["report"]
        failed, warns = report.get("failed", 0), report.get("success")
        told = words.plural(failed, "warning") if failed and warns else f"{failed} failed"
        return f"{words.plural(report.get('checks', 0), 'check')}, {told}"
    if step.name == "train" and "model" in outputs:
        return ", ".join([f"model {words.short(outputs['model'].get('digest'), 8)}", *_hands(step)])
    goal = (run.spec.get("goal") or {}).get("metric", "")
    if step.name == "evaluate" and goal in step.metrics:
        return f"{goal} {words.number(step.metrics[goal])}"
    if step.name == "register" and "version" in outputs:
        version = outputs["version"]
        return f"version {version.get('version')}, {version.get('decision')}"
    return ""


def _hands(step: Step) -> list[str]:
    """How many workers shared a step, and how often one was replaced."""
    workers, restarts = (int(step.metrics.get(name) or 0) for name in ("workers", "worker_restarts"))
    found = [words.plural(workers, "worker")] if workers > 1 else []
    return [*found, words.plural(restarts, "restart")] if restarts else found


def _changed(run: Run) -> dict[str, Any]:
    """Parameters that differ from what a run has without any."""
    changed = dict(run.parameters.get("overrides") or {})
    if run.parameters.get("cache") is False:
        changed["cache"] = False
    return changed


def _end_of(tail: Tail) -> tuple[str, int]:
    """The last part of a log, and where it ends."""
    tail.look()
    begin = max(0, tail.size - len(tail.kept))
    text, end = tail.since(begin)
    if begin:
        text = text[text.find("\n") + 1 :]
    return text, end
