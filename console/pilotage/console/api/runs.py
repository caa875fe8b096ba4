"""`/api/v1/runs`: what ran; starting, cancelling, retrying; logs and reports."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import Field

from pilotage.console.api import streams
from pilotage.console.api.parameters import (
    ActorParameter,
    CursorParameter,
    DeskParameter,
    LimitParameter,
    Moment,
)
from pilotage.console.operations.execution import run_files, runs
from pilotage.console.operations.execution.run_files import MOST_BYTES, LogPart
from pilotage.console.operations.execution.runs import Run, RunSummary, Step
from pilotage.console.operations.listings import Listing, Model
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.queue.parameters import Parameters

router = APIRouter(tags=["runs"])

REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
"""A report shows values of data that anybody may have written."""

StateParameter = Annotated[State | None, Query(description="Only runs that are in it.")]
SinceParameter = Annotated[Moment | None, Query(description="Only runs asked for then or later.")]
ByParameter = Annotated[str | None, Query(max_length=64, description="Its id; `any` for any.")]


class NewRun(Model):
    """A run to start."""

    why: Annotated[str, Field(max_length=2000)] = ""
    parameters: Parameters = Parameters()


class Why(Model):
    """A reason, for the record."""

    why: Annotated[str, Field(max_length=2000)] = ""


@router.get("/runs")
def list_runs(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: Annotated[str | None, Query(max_length=63)] = None,
    state: StateParameter = None,
    trigger: ByParameter = None,
    schedule: ByParameter = None,
    since: SinceParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[RunSummary]:
    """Runs, newest first."""
    return runs.list_runs(
        desk,
        actor,
        pilot=pilot,
        state=state,
        trigger=trigger,
        schedule=schedule,
        since=since,
        cursor=cursor,
        limit=limit,
    )


@router.get("/pilots/{pilot}/runs")
def list_runs_of_pilot(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    state: StateParameter = None,
    since: SinceParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[RunSummary]:
    """Runs of one pilot, newest first."""
    return runs.list_runs(desk, actor, pilot=pilot, state=state, since=since, cursor=cursor, limit=limit)


@router.post("/pilots/{pilot}/runs", status_code=201)
def start_run(desk: DeskParameter, actor: ActorParameter, pilot: str, new: NewRun, response: Response) -> Run:
    """Ask for a run; it waits until no other run of the pilot goes on."""
    made = runs.start_run(desk, actor, pilot, why=new.why, parameters=new.parameters)
    response.headers["Location"] = f"/api/v1/runs/{made.id}"
    return made


@router.get("/runs/{run}")
def get_run(desk: DeskParameter, actor: ActorParameter, run: str) -> Run:
    """One run with its steps."""
    return runs.get_run(desk, actor, run)


@router.get("/runs/{run}/steps")
def list_steps(desk: DeskParameter, actor: ActorParameter, run: str) -> Listing[Step]:
    """The steps of a run, in their order."""
    return Listing(items=runs.get_run(desk, actor, run).steps)


@router.post("/runs/{run}/cancel")
def cancel_run(desk: DeskParameter, actor: ActorParameter, run: str, reason: Why) -> Run:
    """End a run that waits, or ask one that goes on to stop."""
    return runs.cancel_run(desk, actor, run, why=reason.why)


@router.post("/runs/{run}/retry", status_code=201)
def retry_run(desk: DeskParameter, actor: ActorParameter, run: str, reason: Why, response: Response) -> Run:
    """Ask for a run like one that ended; steps that succeeded come from the cache."""
    made = runs.retry_run(desk, actor, run, why=reason.why)
    response.headers["Location"] = f"/api/v1/runs/{made.id}"
    return made


@router.get(
    "/runs/{run}/logs",
    response_model=LogPart,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def read_log(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    run: str,
    step: Annotated[str, Query(max_length=32)],
    offset: Annotated[int, Query(ge=0, le=2**53, description="Bytes to leave out.")] = 0,
    limit: Annotated[int, Query(ge=16, le=MOST_BYTES, description="Bytes of one part.")] = MOST_BYTES,
    last_event_id: Annotated[str | None, Header(max_length=32)] = None,
) -> Response:
    """What a step wrote from an offset on; as `text/event-stream`, what it writes until it ends.

    Events are `log`, with a part as JSON and where the next begins as id, and `end`. A client that comes
    back with `Last-Event-ID` goes on there.
    """
    if last_event_id is not None and last_event_id.isdecimal():
        offset = int(last_event_id)
    part = run_files.read_log(desk, actor, run, step, offset=offset, limit=limit)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return JSONResponse(part.model_dump(mode="json"))
    events = streams.follow_log(request, desk, actor, part)
    return StreamingResponse(events, media_type="text/event-stream", headers=streams.HEADERS)


@router.get("/runs/{run}/report", responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}})
def get_report(request: Request, desk: DeskParameter, actor: ActorParameter, run: str) -> Response:
    """The validation report of a run; as `text/html` the page, which can do nothing."""
    if "text/html" in request.headers.get("accept", ""):
        page = run_files.get_report_page(desk, actor, run)
        return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})
    return JSONResponse(run_files.get_report(desk, actor, run))


@router.get("/runs/{run}/snapshot")
def get_manifest(desk: DeskParameter, actor: ActorParameter, run: str) -> JSONResponse:
    """The manifest of the snapshot that a run used."""
    return JSONResponse(run_files.get_manifest(desk, actor, run))
