"""Beginning a pilot from a notebook: a file is sent, and the pilot that it amounts to is shown, to be saved.

The console keeps neither; what was read goes back in the page, with the folder as a zip in its link.
"""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import HTMLResponse

from pilotage.console.access.actors import Actor, Permission
from pilotage.console.adoption.readings import MOST_BYTES
from pilotage.console.api import problems
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import adoptions
from pilotage.console.operations.adoptions import Adoption
from pilotage.console.pages import highlights, rendering
from pilotage.core import errors

router = APIRouter()


@router.get("/adopt")
def show_adopt(request: Request, actor: ActorParameter) -> HTMLResponse:
    """A field for the file."""
    actor.require(Permission.OPERATE)
    return _page(request, actor)


@router.post("/adopt")
def adopt(
    request: Request, desk: DeskParameter, actor: ActorParameter, notebook: Annotated[UploadFile, File()]
) -> HTMLResponse:
    """What came of the file, or why nothing did."""
    actor.require(Permission.OPERATE)
    name = (notebook.filename or "").replace("\\", "/").rpartition("/")[2]
    try:
        found = adoptions.adopt(desk, actor, name, _text(name, notebook.file.read(MOST_BYTES + 1)))
    except (errors.InputError, errors.LimitReached, errors.Unavailable) as error:
        return _page(request, actor, error=error, status=int(problems.status_of(error)))
    return _page(request, actor, found=found)


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.InputError(
            f"`{name[:100]}` is not text in UTF-8.", remedy="Send a notebook (.ipynb) or a script (.py)."
        ) from error


def _page(
    request: Request,
    actor: Actor,
    *,
    found: Adoption | None = None,
    error: errors.PilotageError | None = None,
    status: int = 200,
) -> HTMLResponse:
    archive = "" if found is None else base64.b64encode(adoptions.zipped(found)).decode()
    shown = (
        [] if found is None else [(file.name, highlights.of(file.name, file.text)) for file in found.files]
    )
    return rendering.page(
        request,
        "adopt.html.j2",
        actor=actor,
        status=status,
        found=found,
        error=error,
        shown=shown,
        archive=f"data:application/zip;base64,{archive}",
    )
