"""Settings: one's own roles, password, tokens and browsers; for admins users and webhooks too."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from pilotage.console.access import accounts, doors
from pilotage.console.access.accounts import UserState
from pilotage.console.access.actors import ALL, Actor, Grant, Permission, Role
from pilotage.console.api.parameters import ActorParameter, CursorParameter, DeskParameter
from pilotage.console.operations import webhooks
from pilotage.console.operations.access import browsers, tokens, users
from pilotage.console.operations.access.tokens import NewToken
from pilotage.console.operations.desks import Desk
from pilotage.console.pages.rendering import page, see
from pilotage.core import errors
from pilotage.pipelines.webhooks import DeliveryState

router = APIRouter(prefix="/settings")

TextForm = Annotated[str, Form(max_length=1000)]
SecretForm = Annotated[str, Form(max_length=2000)]
RoleForm = Annotated[Role, Form()]


@router.get("")
def show_settings(request: Request, desk: DeskParameter, actor: ActorParameter) -> Response:
    """What belongs to whoever looks."""
    return _own(request, desk, actor)


@router.post("/tokens")
def make_token(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    name: TextForm,
    role: RoleForm,
    days: Annotated[int, Form()],
    pilot: TextForm = ALL,
) -> Response:
    """Make a token; the page that answers is the only one that shows it."""
    made = tokens.make_token(desk, actor, name, [Grant(pilot.strip() or ALL, role)], days)
    return _own(request, desk, actor, made)


@router.post("/tokens/{token}/revoke")
def revoke_token(request: Request, desk: DeskParameter, actor: ActorParameter, token: str) -> Response:
    """Let a token stand for nobody."""
    revoked = tokens.revoke_token(desk, actor, token)
    return see(request, "/settings", f"The token {revoked.name} stands for nobody any more.")


@router.post("/password")
def change_password(
    request: Request, desk: DeskParameter, actor: ActorParameter, current: SecretForm, password: SecretForm
) -> Response:
    """Change one's own password."""
    session = doors.session_of(request)
    if session is None or actor.token is not None:
        raise errors.Forbidden("A token changes no password.", remedy="Sign in with a browser.")
    try:
        address = doors.address_of(request)
        users.change_own_password(desk, actor, current, password, address, session.id)
    except (errors.Unauthenticated, errors.SettingsError, errors.LimitReached) as error:
        return see(request, "/settings", str(error), "failed")
    return see(request, "/settings", "The password is changed; other browsers are signed out.")


@router.post("/sessions/{session}/sign-out")
def sign_out(request: Request, desk: DeskParameter, actor: ActorParameter, session: str) -> Response:
    """Sign one of one's browsers out."""
    browsers.sign_out(desk, actor, actor.name, session)
    return see(request, "/settings", "That browser is signed out.")


@router.post("/sign-out-everywhere")
def sign_out_everywhere(request: Request, desk: DeskParameter, actor: ActorParameter) -> Response:
    """Sign out of all browsers, this one too."""
    browsers.sign_out_everywhere(desk, actor, actor.name)
    return see(request, "/sign-in", "You are signed out everywhere.")


@router.get("/users")
def show_users(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    search: Annotated[str, Query(max_length=128)] = "",
    cursor: CursorParameter = None,
) -> Response:
    """Who may come in."""
    listing = users.list_users(desk, actor, search=search, cursor=cursor)
    return page(request, "users.html.j2", actor=actor, listing=listing, search=search, cursor=cursor)


@router.post("/users")
def add_user(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    name: TextForm,
    full_name: TextForm = "",
    password: SecretForm = "",
    role: Annotated[str, Form()] = "",
    pilot: TextForm = ALL,
) -> Response:
    """Let somebody in."""
    grants = [Grant(pilot.strip() or ALL, accounts.parse_grant(role).role)] if role else []
    users.add_user(desk, actor, name.strip(), full_name=full_name, password=password or None, grants=grants)
    return see(request, f"/settings/users/{name.strip()}", f"{name.strip()} may come in.")


@router.get("/users/{user}")
def show_user(request: Request, desk: DeskParameter, actor: ActorParameter, user: str) -> Response:
    """One user."""
    actor.require(Permission.ADMINISTER)
    return page(
        request,
        "user.html.j2",
        actor=actor,
        user=users.get_user(desk, actor, user),
        browsers=browsers.list_browsers(desk, actor, user),
        tokens=tokens.list_tokens(desk, actor, user=user).items,
        roles=[str(role) for role in Role],
    )


@router.post("/users/{user}/{change}")
def change_user(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    user: str,
    change: str,
    role: Annotated[Role | None, Form()] = None,
    pilot: TextForm = ALL,
    password: SecretForm = "",
    why: TextForm = "",
) -> Response:
    """Give or take a role, let in or no more, set a password, sign out."""
    match change:
        case "grant" if role is not None:
            users.give_role(desk, actor, user, Grant(pilot.strip() or ALL, role), why)
        case "revoke" if role is not None:
            users.take_role(desk, actor, user, Grant(pilot, role), why)
        case "disable":
            users.change_user(desk, actor, user, state=UserState.DISABLED, why=why)
        case "enable":
            users.change_user(desk, actor, user, state=UserState.ACTIVE, why=why)
        case "password":
            users.set_password(desk, actor, user, password, why)
        case "sign-out":
            browsers.sign_out_everywhere(desk, actor, user)
        case _:
            raise errors.NotFound("There is nothing of this kind to change.", remedy="Go back to the user.")
    return see(request, f"/settings/users/{user}", f"{user} is changed.")


@router.get("/webhooks")
def show_webhooks(
    request: Request,
    desk: DeskParameter,
    actor: ActorParameter,
    webhook: Annotated[str, Query(max_length=63)] = "",
    state: Annotated[str, Query(pattern="^(|pending|delivered|dead)$")] = "",
    cursor: CursorParameter = None,
) -> Response:
    """Who is told of events, and what was sent."""
    listing = webhooks.list_deliveries(
        desk,
        actor,
        webhook=webhook or None,
        state=DeliveryState(state) if state else None,
        cursor=cursor,
    )
    return page(
        request,
        "webhooks.html.j2",
        actor=actor,
        webhooks=webhooks.list_webhooks(desk, actor),
        listing=listing,
        chosen={"webhook": webhook, "state": state},
        cursor=cursor,
        states=[str(item) for item in DeliveryState],
    )


@router.post("/webhooks/deliveries/{delivery}/replay")
def replay(request: Request, desk: DeskParameter, actor: ActorParameter, delivery: int) -> Response:
    """Send a delivery again."""
    sent = webhooks.replay_delivery(desk, actor, delivery)
    done = sent.state is DeliveryState.DELIVERED
    told = "was taken." if done else "was not taken; it is tried again for a day."
    return see(request, "/settings/webhooks", f"Delivery {delivery} {told}", "done" if done else "warning")


@router.post("/webhooks/{webhook}/test")
def send_test(request: Request, desk: DeskParameter, actor: ActorParameter, webhook: str) -> Response:
    """Tell a webhook of a test."""
    sent = webhooks.send_test(desk, actor, webhook)
    done = sent.state is DeliveryState.DELIVERED
    told = "took the test." if done else "did not take the test."
    return see(request, "/settings/webhooks", f"{webhook} {told}", "done" if done else "failed")


def _own(request: Request, desk: Desk, actor: Actor, made: NewToken | None = None) -> Response:
    session = doors.session_of(request)
    return page(
        request,
        "settings.html.j2",
        actor=actor,
        grants=sorted(actor.grants),
        tokens=tokens.list_tokens(desk, actor).items,
        browsers=browsers.list_browsers(desk, actor, actor.name),
        current=None if session is None else session.id,
        made=made,
        roles=[str(role) for role in Role],
    )
