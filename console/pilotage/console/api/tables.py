"""`/api/v1/pilots/{pilot}/tables` and what became of them: `…/studies/{study}/scores`.

A table is sent as the body, byte by byte, because it may be Parquet; a study of kind `score` names it by id.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from pilotage.console.access.actors import Permission
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import scores
from pilotage.console.operations.scores import Table
from pilotage.core import errors
from pilotage.pipelines.studies import uploads
from pilotage.pipelines.studies.formats import Format

router = APIRouter(prefix="/pilots/{pilot}", tags=["studies"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
NameQuery = Annotated[str, Query(min_length=1, max_length=200, description="Its ending tells the format.")]


async def _body(request: Request, actor: ActorParameter, pilot: str) -> bytes:
    """What is sent, read only from those who may send it."""
    actor.require(Permission.OPERATE, pilot)
    data = await request.body()
    if len(data) > uploads.MOST_BYTES:
        raise errors.InputError(
            f"The table has {len(data) >> 20} MB, more than {uploads.MOST_BYTES >> 20}.",
            remedy="Send it in parts, as Parquet, or score it with the command on the console's machine.",
        )
    return data


@router.post(
    "/tables",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}},
)
def send_table(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    name: NameQuery,
    data: Annotated[bytes, Depends(_body)],
) -> Table:
    """Send a table of up to 64 MiB to be scored; it goes when that is done, or after a week."""
    return scores.send_table(desk, actor, pilot, name, data)


@router.get(
    "/studies/{study}/scores",
    responses={200: {"content": {kind.media_type: _BINARY for kind in Format}}},
    response_class=StreamingResponse,
)
def get_scores(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    study: str,
    kind: Annotated[Format, Query(alias="format")] = Format.PARQUET,
) -> StreamingResponse:
    """The rows that a study of kind `score` scored; in CSV, what looks like a formula begins with `'`."""
    sent = scores.read_scores(desk, actor, pilot, study, kind)
    told = {"Content-Disposition": f'attachment; filename="{sent.name}"', "Cache-Control": "no-store"}
    if sent.bytes is not None:
        told["Content-Length"] = str(sent.bytes)
    return StreamingResponse(sent.pieces, media_type=kind.media_type, headers=told)
