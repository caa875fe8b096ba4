"""`/api/v1/tokens`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from pilotage.console.access.accounts import parse_grant
from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations.access import tokens
from pilotage.console.operations.access.tokens import MOST_DAYS, NewToken, Token
from pilotage.console.operations.listings import Listing, Model

router = APIRouter(prefix="/tokens", tags=["access"])


class TokenRequest(Model):
    """A token to make."""

    name: Annotated[str, Field(min_length=1, max_length=128, examples=["nightly retraining"])]
    grants: Annotated[tuple[str, ...], Field(min_length=1, max_length=200, examples=[["viewer"]])]
    """`ROLE` for all pilots, or `ROLE@PILOT`."""
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)]
    user: Annotated[str, Field(max_length=128)] | None = None
    """Whose it is to be; one's own when left out."""
    why: Annotated[str, Field(max_length=1000, description="Why, for the audit.")] = ""


@router.get("")
def list_tokens(
    desk: DeskParameter,
    actor: ActorParameter,
    user: Annotated[str | None, Query(max_length=128, description="Whose; one's own when left out.")] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[Token]:
    """Tokens, newest first, without their secrets."""
    return tokens.list_tokens(desk, actor, user=user, cursor=cursor, limit=limit)


@router.post("", status_code=201)
def make_token(desk: DeskParameter, actor: ActorParameter, new: TokenRequest, response: Response) -> NewToken:
    """Make a token; its secret is in the answer, and nowhere else."""
    response.headers["Cache-Control"] = "no-store"
    grants = [parse_grant(text) for text in new.grants]
    return tokens.make_token(desk, actor, new.name, grants, new.days, user=new.user, why=new.why)


@router.delete("/{token}")
def revoke_token(
    desk: DeskParameter,
    actor: ActorParameter,
    token: str,
    why: Annotated[str, Query(max_length=1000)] = "",
) -> Token:
    """Let a token stand for nobody any more."""
    return tokens.revoke_token(desk, actor, token, why)
