"""The part of a pilot's scaling page about tables that are scored: sending one, its progress, its scores."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import RedirectResponse

from pilotage.console.access.actors import Permission
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import scores, studies
from pilotage.console.operations.studies import Study
from pilotage.console.pages import rendering
from pilotage.core import errors
from pilotage.pipelines.studies import Kind, uploads

router = APIRouter()


def show_scores(pilot: str, newest: Study | None, done: Study | None) -> str:
    """The part of the page about scores."""
    document = None if done is None else done.document
    return rendering.fragment(
        "parts/scaling_score.html.j2", pilot=pilot, newest=newest, done=done, document=document
    )


@router.post("/pilots/{pilot}/scaling/score")
def score(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    table: Annotated[UploadFile | None, File()] = None,
    version: Annotated[str, Form(max_length=10)] = "",
) -> RedirectResponse:
    """Score a table that is sent, or the pilot's own files where none is."""
    actor.require(Permission.OPERATE, pilot)
    place = f"/pilots/{pilot}/scaling"
    options: dict[str, object] = {"version": version.strip() or None}
    try:
        if table is not None and table.filename:
            options |= _sent(desk, actor, pilot, table)
        found = studies.start_study(desk, actor, pilot, Kind.SCORE, options)
    except (errors.InputError, errors.RunActive, errors.LimitReached, errors.Unavailable) as error:
        return rendering.see(request, place, f"{error.message} {error.remedy}".strip(), "failed")
    return rendering.see(request, place, f"Study {found.id} has begun; this page shows how far it is.")


def _sent(desk: DeskParameter, actor: ActorParameter, pilot: str, table: UploadFile) -> dict[str, object]:
    name = (table.filename or "").replace("\\", "/").rpartition("/")[2][:200]
    data = table.file.read(uploads.MOST_BYTES + 1)
    if len(data) > uploads.MOST_BYTES:
        raise errors.InputError(
            f"`{name}` has more than {uploads.MOST_BYTES >> 20} MB.",
            remedy="Send it in parts, as Parquet, or score it with the command on the console's machine.",
        )
    return {"table": scores.send_table(desk, actor, pilot, name, data).table, "name": name}
