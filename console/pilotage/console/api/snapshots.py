"""`/api/v1/snapshots`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations.execution import snapshots
from pilotage.console.operations.execution.snapshots import Snapshot
from pilotage.console.operations.listings import Listing

router = APIRouter(prefix="/snapshots", tags=["snapshots"])


@router.get("")
def list_snapshots(
    desk: DeskParameter,
    actor: ActorParameter,
    pilot: Annotated[str | None, Query(max_length=63)] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Snapshot]:
    """Snapshots that runs used, the last used first."""
    return snapshots.list_snapshots(desk, actor, pilot=pilot, cursor=cursor, limit=limit)


@router.get("/{digest}")
def get_snapshot(desk: DeskParameter, actor: ActorParameter, digest: str) -> JSONResponse:
    """The manifest of one snapshot: columns, types, rows, time range, source."""
    return JSONResponse(snapshots.get_snapshot(desk, actor, digest))
