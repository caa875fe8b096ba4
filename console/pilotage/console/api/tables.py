"""`/api/v1/pilots/{pilot}/tables` and what became of them: `…/studies/{study}/scores`.

A table is sent as the body, byte by byte, because it may be Parquet; a study of kind `score` names it by id.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from pilotage.console.access.actors import Permission
from pilotage.console.api.parameters import ActorParameter, DeskParameter
from pilotage.console.operations import scores
from pilotage.console.operations.scores import Format, Table
from pilotage.core import errors
from pilotage.pipelines.studies import uploads

router = APIRouter(prefix="/pilots/{pilot}", tags=["studies"])

_TYPES = {Format.PARQUET: "application/vnd.apache.parquet", Format.CSV: "text/csv; charset=utf-8"}
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
    responses={200: {"content": dict.fromkeys(_TYPES.values(), _BINARY)}},
    response_class=Response,
)
def get_scores(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: str,
    study: str,
    kind: Annotated[Format, Query(alias="format")] = Format.PARQUET,
) -> Response:
    """The rows that a study of kind `score` scored."""
    name, data = scores.read_scores(desk, actor, pilot, study, kind)
    told = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(data, media_type=_TYPES[kind], headers=told)
