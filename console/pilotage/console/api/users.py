"""`/api/v1/users`: who may come in, their roles, and where they are signed in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr

from pilotage.console.access.accounts import UserState
from pilotage.console.access.actors import ALL, Grant, Role
from pilotage.console.api.etags import IfMatchParameter
from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter, LimitParameter
from pilotage.console.operations.access import browsers, users
from pilotage.console.operations.access.browsers import Browser, SignedOut
from pilotage.console.operations.access.users import User
from pilotage.console.operations.listings import Listing, Model

router = APIRouter(prefix="/users", tags=["access"])

WhyField = Annotated[str, Field(max_length=1000, description="Why, for the audit.")]
PilotName = Annotated[str, Field(pattern=r"^(\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$")]


class Wanted(Model):
    """A role to give or to take back."""

    role: Role
    pilot: PilotName = ALL
    """`*` for all pilots."""
    why: WhyField = ""

    @property
    def grant(self) -> Grant:
        """As an actor holds it."""
        return Grant(self.pilot, self.role)


class NewUser(Model):
    """Somebody to let in."""

    name: Annotated[str, Field(max_length=128, examples=["ada@example.org"])]
    full_name: Annotated[str, Field(max_length=200)] = ""
    password: SecretStr | None = None
    """Left out for those whom only an OpenID provider signs in."""
    grants: Annotated[tuple[Wanted, ...], Field(max_length=200)] = ()
    why: WhyField = ""


class UserChange(Model):
    """What is to be another; what is left out stays."""

    full_name: Annotated[str, Field(max_length=200)] | None = None
    state: UserState | None = None
    why: WhyField = ""


class NewPassword(Model):
    """A password for somebody else."""

    password: SecretStr
    why: WhyField = ""


@router.get("")
def list_users(
    desk: DeskParameter,
    actor: ActorParameter,
    search: Annotated[str, Query(max_length=128)] = "",
    cursor: CursorParameter = None,
    limit: LimitParameter = 50,
) -> Listing[User]:
    """Users by name."""
    return users.list_users(desk, actor, search=search, cursor=cursor, limit=limit)


@router.post("", status_code=201)
def add_user(desk: DeskParameter, actor: ActorParameter, new: NewUser) -> User:
    """Let somebody in."""
    return users.add_user(
        desk,
        actor,
        new.name,
        full_name=new.full_name,
        password=None if new.password is None else new.password.get_secret_value(),
        grants=[wanted.grant for wanted in new.grants],
        why=new.why,
    )


@router.get("/{user}")
def get_user(desk: DeskParameter, actor: ActorParameter, user: str) -> User:
    """One user."""
    return users.get_user(desk, actor, user)


@router.patch("/{user}")
def change_user(
    desk: DeskParameter,
    actor: ActorParameter,
    user: str,
    change: UserChange,
    if_match: IfMatchParameter = None,
) -> User:
    """Change somebody's name, or let them in no more."""
    return users.change_user(
        desk,
        actor,
        user,
        full_name=change.full_name,
        state=change.state,
        why=change.why,
        expected=if_match,
    )


@router.post("/{user}/grant")
def give_role(desk: DeskParameter, actor: ActorParameter, user: str, wanted: Wanted) -> User:
    """Give a role."""
    return users.give_role(desk, actor, user, wanted.grant, wanted.why)


@router.post("/{user}/revoke")
def take_role(desk: DeskParameter, actor: ActorParameter, user: str, wanted: Wanted) -> User:
    """Take a role back."""
    return users.take_role(desk, actor, user, wanted.grant, wanted.why)


@router.put("/{user}/password")
def set_password(desk: DeskParameter, actor: ActorParameter, user: str, new: NewPassword) -> User:
    """Give somebody a new password, and sign them out everywhere."""
    return users.set_password(desk, actor, user, new.password.get_secret_value(), new.why)


@router.get("/{user}/sessions")
def list_browsers(desk: DeskParameter, actor: ActorParameter, user: str) -> Listing[Browser]:
    """Browsers that somebody is signed in with."""
    return Listing(items=tuple(browsers.list_browsers(desk, actor, user)))


@router.post("/{user}/sign-out")
def sign_out_everywhere(desk: DeskParameter, actor: ActorParameter, user: str) -> SignedOut:
    """Sign somebody out of all browsers."""
    return browsers.sign_out_everywhere(desk, actor, user)


@router.delete("/{user}/sessions/{session}", status_code=204)
def sign_out(desk: DeskParameter, actor: ActorParameter, user: str, session: str) -> None:
    """Sign somebody out of one browser."""
    browsers.sign_out(desk, actor, user, session)
