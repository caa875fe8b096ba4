"""`/api/v1/pilots/{pilot}/studies`: forecasts, shrinks and syntheses, which take minutes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.api.runs import Why
from pilotage.console.operations import studies
from pilotage.console.operations.listings import Listing, Model
from pilotage.console.operations.studies import Study, StudySummary
from pilotage.pipelines.studies import Kind

router = APIRouter(tags=["studies"])

PLOT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
"""A picture draws, and does nothing else."""
PlotName = Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9_-]+\.svg$")]


class NewStudy(Model):
    """A study to start."""

    kind: Kind
    options: Annotated[dict[str, Any], Field(max_length=20)] = {}
    """As the command has them, with underscores: `{"at": [50000], "repeats": 4}`."""


@router.get("/pilots/{pilot}/studies")
def list_studies(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    kind: Annotated[Kind | None, Query(description="Only these.")] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[StudySummary]:
    """Studies of a pilot, newest first."""
    return studies.list_studies(desk, actor, pilot, kind=kind, cursor=cursor, limit=limit)


@router.post("/pilots/{pilot}/studies", status_code=201)
def start_study(
    desk: DeskParameter, actor: ActorParameter, pilot: str, new: NewStudy, response: Response
) -> Study:
    """Start a study as a process of the console's machine; one of a kind goes on at a time."""
    made = studies.start_study(desk, actor, pilot, new.kind, new.options)
    response.headers["Location"] = f"/api/v1/pilots/{pilot}/studies/{made.id}"
    return made


@router.get("/pilots/{pilot}/studies/{study}")
def get_study(desk: DeskParameter, actor: ActorParameter, pilot: str, study: str) -> Study:
    """One study with all that it found."""
    return studies.get_study(desk, actor, pilot, study)


@router.post("/pilots/{pilot}/studies/{study}/cancel")
def cancel_study(desk: DeskParameter, actor: ActorParameter, pilot: str, study: str, reason: Why) -> Study:
    """Tell a study to stop; what it has finished is kept."""
    return studies.cancel_study(desk, actor, pilot, study, why=reason.why)


@router.get(
    "/pilots/{pilot}/studies/{study}/plots/{plot}",
    responses={200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
def get_plot(desk: DeskParameter, actor: ActorParameter, pilot: str, study: str, plot: PlotName) -> Response:
    """A picture that a study left."""
    data = studies.read_plot(desk, actor, pilot, study, plot)
    return Response(data, media_type="image/svg+xml", headers={"Content-Security-Policy": PLOT_POLICY})


@router.get(
    "/pilots/{pilot}/studies/{study}/rows",
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
def get_rows(desk: DeskParameter, actor: ActorParameter, pilot: str, study: str) -> Response:
    """Synthetic rows of a synthesis whose gates passed, as a file."""
    name, kind, data = studies.read_rows(desk, actor, pilot, study)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=kind, headers=headers)
