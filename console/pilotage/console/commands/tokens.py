"""`tokens` and `keys`: secrets that the model server and registration are protected with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.serving.security.tokens import Role


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    tokens = typer.Typer(help="Bearer tokens that callers of model servers show.", rich_markup_mode=None)
    command(tokens, "new")(new_token)
    app.add_typer(tokens, name="tokens")
    keys = typer.Typer(help="Keys that models are signed with.", rich_markup_mode=None)
    command(keys, "new")(new_keys)
    app.add_typer(keys, name="keys")


def new_token(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, as logs will name it.")],
    file: Annotated[
        Path | None,
        typer.Option(help="File of tokens; PILOTAGE_AUTH_TOKENS_FILE, or `tokens` in the home folder."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0, help="Requests a second; 0 for no limit, PILOTAGE_AUTH_RATE when left out."),
    ] = None,
    roles: Annotated[
        str | None, typer.Option(help="What it may do: predict, metrics, or both with a comma.")
    ] = None,
) -> None:
    """Make a bearer token, show it once and keep its hash.

    Servers take it within a second. Delete its line in the file to withdraw it.
    """
    from pilotage.serving.security import tokens

    place = file or session.settings.auth_tokens_file or session.settings.home / "tokens"
    token = tokens.add(place, name, rate, _roles(roles))
    session.output.say(
        f"Added {name} to {place}; the token is shown only now."
        + ("" if session.settings.auth_tokens_file else f" Servers read it with {tokens.VARIABLE}={place}.")
    )
    document = {"name": name, "token": token, "file": str(place)}
    session.output.answer(document, lambda console: console.print(token, soft_wrap=True, markup=False))


def new_keys(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put the pair.")],
) -> None:
    """Make a pair of keys: one signs models, the other checks them.

    Keep the private key where models are registered and nowhere else.
    """
    from pilotage.core import signatures

    private, public = signatures.make_keys(folder.expanduser().absolute())
    document = {"signing_key_file": str(private), "verify_key_file": str(public)}

    session.output.answer(
        document,
        lambda console: console.print(
            f"PILOTAGE_SIGNING_KEY_FILE={private}\nPILOTAGE_VERIFY_KEY_FILE={public}", markup=False
        ),
    )


def _roles(text: str | None) -> frozenset[Role] | None:
    from pilotage.core import errors
    from pilotage.serving.security.tokens import Role

    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    wrong = [name for name in names if name not in set(Role)]
    if wrong:
        raise errors.SettingsError(
            f"There is no role `{wrong[0]}`.", remedy=f"Roles are {', '.join(Role)}; separate them by commas."
        )
    return frozenset(Role(name) for name in names) or None
