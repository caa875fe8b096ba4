"""Forms of the page Responsible: synthetic rows, what is kept too long, and keys that are to be forgotten.

Nothing is deleted before what would go was shown, and whoever confirms it wrote the pilot's name. Keys
travel in the body of forms alone: never in an address, a notice or a log.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import privacy, studies
from pilotage.console.pages import rendering
from pilotage.core import errors
from pilotage.pipelines.studies import Kind

router = APIRouter(prefix="/pilots/{pilot}/responsible")

Keys = Annotated[str, Form(max_length=1_000_000)]
Why = Annotated[str, Form(max_length=2000)]
Named = Annotated[str, Form(alias="named", max_length=200)]
_SAID_NO = (errors.RequestError, errors.SpecError, errors.RunActive, errors.Conflict, errors.Unavailable)


@router.post("/synthesis")
def start_synthesis(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    rows: Annotated[str, Form(max_length=20)] = "1000",
    form: Annotated[str, Form(alias="format", max_length=20)] = "csv",
) -> RedirectResponse:
    """Start a study of synthetic rows."""
    try:
        found = studies.start_study(desk, actor, pilot, Kind.SYNTHESIS, {"rows": rows, "format": form})
    except (*_SAID_NO, errors.SettingsError) as error:
        return _back(request, pilot, "synthetic", error)
    return rendering.see(
        request, f"{_place(pilot)}#synthetic", f"Study {found.id} has begun; load the page again to see it."
    )


@router.post("/synthesis/{study}/cancel")
def cancel_synthesis(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, study: str
) -> RedirectResponse:
    """Tell a study to stop."""
    try:
        studies.cancel_study(desk, actor, pilot, study)
    except errors.Conflict as error:
        return _back(request, pilot, "synthetic", error)
    return rendering.see(request, f"{_place(pilot)}#synthetic", "It was told to stop.")


@router.post("/purge/preview", response_model=None)
def preview_purge(request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str) -> Response:
    """What is older than the pilot keeps it."""
    try:
        found = privacy.purge(desk, actor, pilot, dry_run=True)
    except _SAID_NO as error:
        return _back(request, pilot, "personal", error)
    return _asked(request, actor, pilot, "purge", found)


@router.post("/purge", response_model=None)
def purge(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, named: Named = "", why: Why = ""
) -> Response:
    """Delete it."""
    try:
        _require_named(pilot, named)
        found = privacy.purge(desk, actor, pilot, dry_run=False, why=why)
    except _SAID_NO as error:
        return _back(request, pilot, "personal", error)
    told = (
        f"Deleted {len(found['snapshots'])} snapshots, {found['row_files']} files of served rows and "
        f"{found['label_files']} of labels."
    )
    return rendering.see(request, f"{_place(pilot)}#personal", told)


@router.post("/forget/preview", response_model=None)
def preview_forget(
    request: Request, desk: DeskParameter, actor: ActorParameter, pilot: str, keys: Keys = ""
) -> Response:
    """What is held with these keys."""
    try:
        found = privacy.preview_forget(desk, actor, pilot, _lines(keys))
    except _SAID_NO as error:
        return _back(request, pilot, "personal", error)
    return _asked(request, actor, pilot, "forget", found, keys="\n".join(_lines(keys)))


@router.post("/forget", response_model=None)
def forget(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    keys: Keys = "",
    named: Named = "",
    why: Why = "",
) -> Response:
    """Erase it."""
    try:
        _require_named(pilot, named)
        found = privacy.forget(desk, actor, pilot, _lines(keys), why)
    except _SAID_NO as error:
        return _back(request, pilot, "personal", error)
    rows = sum(item["rows"] for item in found["snapshots"])
    told = (
        f"Erased {rows} rows of snapshots, {found['logged_rows']} logged rows and {found['labels']} labels."
    )
    if found["nowhere"]:
        told += f" {len(found['nowhere'])} of {len(_lines(keys))} keys were found nowhere."
    return rendering.see(request, f"{_place(pilot)}#personal", " ".join([told, *found["notes"]]))


def _asked(
    request: Request, actor: ActorParameter, pilot: str, what: str, found: dict[str, object], keys: str = ""
) -> HTMLResponse:
    return rendering.page(
        request, "deletion.html.j2", actor=actor, pilot=pilot, what=what, found=found, keys=keys
    )


def _require_named(pilot: str, named: str) -> None:
    if named.strip() != pilot:
        raise errors.RequestError(
            f"Nothing was deleted: the name that was written is not `{pilot}`.",
            remedy="Look at what would go again, and write the pilot's name.",
        )


def _lines(keys: str) -> list[str]:
    return [line.strip() for line in keys.splitlines() if line.strip()]


def _place(pilot: str) -> str:
    return f"/pilots/{pilot}/responsible"


def _back(request: Request, pilot: str, part: str, error: errors.PilotageError) -> RedirectResponse:
    return rendering.see(
        request, f"{_place(pilot)}#{part}", f"{error.message} {error.remedy}".strip(), "failed"
    )
