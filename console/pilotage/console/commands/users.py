"""`users` and `sign-in`: who may come in, and coming in at this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.groups import ListsByDefault
from pilotage.console.sessions import HERE_ONLY, Session, command

if TYPE_CHECKING:
    from pilotage.console.operations.access.users import User

_FAR = "pilotage.console.remotes.users"
_UserArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")]
_RoleArgument = Annotated[
    str,
    typer.Argument(metavar="ROLE[@PILOT]", help="viewer, operator, approver or admin; alone for all."),
]
_RolesOption = Annotated[
    list[str] | None, typer.Option("--role", metavar="ROLE[@PILOT]", help="May be given several times.")
]
_WhyOption = Annotated[str, typer.Option(help="Why, for the record.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(cls=ListsByDefault, help="Who may come in, and do what.", rich_markup_mode=None)
    for name, function in (
        ("list", list_users),
        ("add", add_user),
        ("grant", grant),
        ("revoke", revoke),
        ("disable", disable),
        ("enable", enable),
        ("password", password),
        ("token", token),
    ):
        command(group, name, f"{_FAR}:{function.__name__}")(function)
    app.add_typer(group, name="users")
    command(app, "sign-in", HERE_ONLY)(sign_in)


def list_users(session: Session, limit: Annotated[int, typer.Option(min=1)] = 200) -> None:
    """Users, their roles, and how they sign in."""
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import users

    desk, cursor, found = desks.Desk(session.settings), None, list[Any]()
    while len(found) < limit:
        listing = users.list_users(
            desk, actors.at_this_machine(), cursor=cursor, limit=min(200, limit - len(found))
        )
        found += [user.model_dump(mode="json") for user in listing.items]
        cursor = listing.next
        if cursor is None:
            break
    show(session, found)


def add_user(
    session: Session,
    name: _UserArgument,
    role: _RolesOption = None,
    full_name: Annotated[str, typer.Option(help="As people call them.")] = "",
    with_password: Annotated[
        bool, typer.Option("--password", help="Ask for a password; without, only OpenID signs in.")
    ] = False,
    why: _WhyOption = "",
) -> None:
    """Let somebody in.

    The password is asked for on a terminal, or is the first line of stdin.
    """
    from pilotage.console.access import actors
    from pilotage.console.access.accounts import parse_grant
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import users

    grants = [parse_grant(text) for text in role or ()]
    secret = read_password() if with_password else None
    desk = desks.Desk(session.settings)
    answer(
        session,
        users.add_user(
            desk, actors.at_this_machine(), name, full_name=full_name, password=secret, grants=grants, why=why
        ),
    )


def grant(session: Session, name: _UserArgument, role: _RoleArgument, why: _WhyOption = "") -> None:
    """Give a role."""
    from pilotage.console.access import actors
    from pilotage.console.access.accounts import parse_grant
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import users

    desk = desks.Desk(session.settings)
    answer(session, users.give_role(desk, actors.at_this_machine(), name, parse_grant(role), why))


def revoke(session: Session, name: _UserArgument, role: _RoleArgument, why: _WhyOption = "") -> None:
    """Take a role back."""
    from pilotage.console.access import actors
    from pilotage.console.access.accounts import parse_grant
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import users

    desk = desks.Desk(session.settings)
    answer(session, users.take_role(desk, actors.at_this_machine(), name, parse_grant(role), why))


def disable(session: Session, name: _UserArgument, why: _WhyOption = "") -> None:
    """Let somebody in no more.

    They are signed out, and their tokens stop working.
    """
    from pilotage.console.access import actors
    from pilotage.console.access.accounts import UserState
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import users

    desk = desks.Desk(session.settings)
    done = users.change_user(desk, actors.at_this_machine(), name, state=UserState.DISABLED, why=why)
    answer(session, done)


def enable(session: Session, name: _UserArgument, why: _WhyOption = "") -> None:
    """Let somebody in again."""
    from pilotage.console.access import actors
    from pilotage.console.access.accounts import UserState
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import users

    desk = desks.Desk(session.settings)
    answer(session, users.change_user(desk, actors.at_this_machine(), name, state=UserState.ACTIVE, why=why))


def password(session: Session, name: _UserArgument, why: _WhyOption = "") -> None:
    """Give somebody a new password; they are signed out everywhere.

    It is asked for on a terminal, or is the first line of stdin.
    """
    from pilotage.console.access import actors
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import users

    desk = desks.Desk(session.settings)
    answer(session, users.set_password(desk, actors.at_this_machine(), name, read_password(), why))


def token(
    session: Session,
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose it is to be.")],
    role: _RolesOption = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long it is valid.")] = 90,
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    why: _WhyOption = "",
) -> None:
    """Make an API token, for PILOTAGE_TOKEN and programs.

    It is shown only now, and never lets do more than its user may. Bearer tokens of model servers are
    another kind: `pilotage tokens new`.
    """
    from pilotage.console.access import actors
    from pilotage.console.access.accounts import parse_grant
    from pilotage.console.operations import desks
    from pilotage.console.operations.access import tokens

    desk, grants = desks.Desk(session.settings), [parse_grant(text) for text in role or ["viewer"]]
    made = tokens.make_token(desk, actors.at_this_machine(), name, grants, days, user=user, why=why)
    show_token(session, made.model_dump(mode="json"))


def sign_in(
    session: Session,
    user: Annotated[str, typer.Option(help="Whom it signs in.")] = "local",
) -> None:
    """Print a link that signs in once.

    It works on this machine, within ten minutes, and needs a console that runs here.
    """
    from pilotage.console.access import actors, links
    from pilotage.console.operations import desks, services
    from pilotage.core import errors

    desk = desks.Desk(session.settings)
    known = services.list_services(desk, actors.at_this_machine()).items
    url = next((item.url for item in known if item.name == "console" and item.url), None)
    if url is None:
        raise errors.NotFound("No console runs here.", remedy="`pilotage up` starts one.")
    link = url.rstrip("/") + links.create_link(desk, user)
    session.output.answer({"url": link}, lambda console: console.print(link, soft_wrap=True, markup=False))


def read_password() -> str:
    """A password from the terminal, twice and unseen; or the first line of stdin.

    Raises:
        SettingsError: none was given, or two different ones.
    """
    from getpass import getpass

    from pilotage.core import errors

    if sys.stdin.isatty():
        secret = getpass("Password: ")
        if secret != getpass("Again: "):
            raise errors.SettingsError("The passwords differ.", remedy="Try again.")
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise errors.SettingsError(
            "No password was given.", remedy="Type it, or write it to stdin; arguments can be seen by others."
        )
    return secret


def answer(session: Session, user: User) -> None:
    """Show what a user is now."""
    answer_document(session, user.model_dump(mode="json"))


def answer_document(session: Session, user: dict[str, Any]) -> None:
    """Show what a user is now, as the API tells it."""
    from pilotage.console.views import users as views

    session.output.answer(user, lambda console: views.show(console, [user]))


def show(session: Session, found: list[dict[str, Any]]) -> None:
    """Show users as the API tells of them."""
    from pilotage.console.views import users as views

    session.output.answer({"users": found}, lambda console: views.show(console, found))


def show_token(session: Session, made: dict[str, Any]) -> None:
    """Show a token that was just made."""
    session.output.say(f"It is {made['user']}'s, shown only now, and expires {made['expires_at'][:10]}.")
    session.output.answer(made, lambda console: console.print(made["secret"], soft_wrap=True, markup=False))
