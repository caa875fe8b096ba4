"""Signing in and out: with a password, a link of this machine, or at an OpenID provider."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from pilotage.console.access import accounts, doors, links, origins, providers, sessions
from pilotage.console.access.digests import are_equal
from pilotage.console.api import problems
from pilotage.console.api.parameters import DeskParameter
from pilotage.console.operations.desks import Desk
from pilotage.console.pages.rendering import page
from pilotage.core import errors

router = APIRouter()

NextParameter = Annotated[str, Query(alias="next", max_length=2000)]
_STATE_COOKIE = "pilotage-oidc"
_STATE_SECONDS = 600


@router.get("/sign-in")
def show_form(request: Request, desk: DeskParameter, following: NextParameter = "/") -> Response:
    """The form, or what was asked for where somebody is signed in."""
    if doors.session_of(request) is not None:
        return RedirectResponse(doors.next_of(following), HTTPStatus.SEE_OTHER)
    return _form(request, desk, following)


@router.post("/sign-in")
def sign_in(
    request: Request,
    desk: DeskParameter,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=2000)] = "",
    following: Annotated[str, Form(alias="next", max_length=2000)] = "/",
) -> Response:
    """Sign in with a password."""
    try:
        user = accounts.sign_in(desk, name, password, doors.address_of(request))
    except (errors.Unauthenticated, errors.LimitReached) as error:
        return _form(request, desk, following, name=name, error=error)
    return _enter(request, desk, user, "password", following)


@router.get("/sign-in/once/{link}")
def show_link(request: Request, link: str) -> Response:
    """A button: what looks at links before people do must not use them up."""
    _require_here(request)
    return page(request, "sign-in-once.html.j2", actor=None, link=link)


@router.post("/sign-in/once/{link}")
def sign_in_once(request: Request, desk: DeskParameter, link: str) -> Response:
    """Sign in with a link."""
    _require_here(request)
    return _enter(request, desk, links.use(desk, link), "link", "/")


@router.get("/sign-in/oidc")
def begin_at_provider(request: Request, desk: DeskParameter, following: NextParameter = "/") -> Response:
    """Go to the OpenID provider."""
    begun = providers.begin(desk, origins.origin_of(request, desk.settings), doors.next_of(following))
    answer = RedirectResponse(begun.url, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    answer.set_cookie(
        _STATE_COOKIE,
        begun.state,
        max_age=_STATE_SECONDS,
        path=providers.CALLBACK,
        secure=doors.is_secure(request),
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get(providers.CALLBACK)
def end_at_provider(
    request: Request,
    desk: DeskParameter,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Come back from the OpenID provider."""
    if error or not code:
        raise errors.Unauthenticated(
            f"The OpenID provider did not sign you in: {error or 'it sent no code'}.",
            remedy="Begin again at /sign-in; the provider's administrators know why it refuses.",
        )
    if not state or not are_equal(request.cookies.get(_STATE_COOKIE, ""), state):
        raise errors.Unauthenticated(
            "This sign-in was not begun in this browser.", remedy="Begin again at /sign-in."
        )
    user, following = providers.complete(desk, origins.origin_of(request, desk.settings), state, code)
    answer = _enter(request, desk, user, "openid", following)
    answer.delete_cookie(_STATE_COOKIE, path=providers.CALLBACK, httponly=True, samesite="lax")
    return answer


@router.post("/sign-out")
def sign_out(request: Request, desk: DeskParameter) -> Response:
    """End the session."""
    cookie = doors.cookie_of(request)
    if cookie is not None:
        sessions.end(desk, cookie)
    answer = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    doors.drop_cookie(request, answer)
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def _form(
    request: Request,
    desk: Desk,
    following: str,
    *,
    name: str = "",
    error: errors.PilotageError | None = None,
) -> Response:
    status = HTTPStatus.OK if error is None else problems.status_of(error)
    found = page(
        request,
        "sign-in.html.j2",
        actor=None,
        status=status,
        name=name,
        following=doors.next_of(following),
        error=error,
        provider=desk.settings.oidc_issuer,
    )
    if isinstance(error, errors.LimitReached):
        found.headers["Retry-After"] = problems.response_to(error).headers["Retry-After"]
    return found


def _enter(request: Request, desk: Desk, user: str, how: str, following: str) -> Response:
    """Begin a session, and go on."""
    cookie = sessions.begin(
        desk,
        user,
        how,
        doors.address_of(request),
        request.headers.get("user-agent", ""),
        before=doors.cookie_of(request),
    )
    answer = RedirectResponse(doors.next_of(following), HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    doors.set_cookie(request, answer, cookie)
    return answer


def _require_here(request: Request) -> None:
    if not origins.is_here(request):
        raise errors.Forbidden(
            "Links sign in on the machine that the console runs on, and from nowhere else.",
            remedy="Open it there, at 127.0.0.1; or sign in with a password or your provider.",
        )
