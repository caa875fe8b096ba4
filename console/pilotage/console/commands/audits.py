"""`audit`: who did what, taken out as a file, and whether anybody changed it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.sessions import HERE_ONLY, Session, command

if TYPE_CHECKING:
    from pilotage.console.operations.evidence.audits import Filter, Format

PilotOption = Annotated[str, typer.Option(help="Of this pilot.")]
AuthorOption = Annotated[str, typer.Option("--who", help="By those with this in their name.")]
ActionOption = Annotated[str, typer.Option(help="Of this kind, such as promote.")]
SinceOption = Annotated[str, typer.Option(help="From this day or time on, UTC without a zone.")]
UntilOption = Annotated[str, typer.Option(help="Before this day or time, UTC without a zone.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        help="Who did what, when, why, to which version.", no_args_is_help=True, rich_markup_mode=None
    )
    command(group, "list", "pilotage.console.remotes.audits:list_lines")(list_lines)
    command(group, "verify", HERE_ONLY)(verify)
    command(group, "export", HERE_ONLY)(export)
    app.add_typer(group, name="audit")


def list_lines(
    session: Session,
    pilot: PilotOption = "",
    who: AuthorOption = "",
    action: ActionOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 20,
) -> None:
    """Who did what, newest first."""
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.evidence import audits
    from pilotage.console.views import audits as views

    which = _filter(pilot, who, action, since, until)
    found = audits.list_lines(Desk(session.settings), at_this_machine(), which, limit=limit)
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found.items))


def verify(
    session: Session,
    head: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID:DIGEST", help="A head that was noted earlier, elsewhere; may be given again."
        ),
    ] = None,
) -> int:
    """Whether a record was changed, removed or moved; 3 if so.

    Prints the head, the last record and its digest: noted elsewhere, it shows later whether the end was
    cut off, which the audit alone cannot tell.
    """
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.evidence import audits as operations
    from pilotage.console.views import audits as views
    from pilotage.core.errors import ExitCode
    from pilotage.pipelines.journals import audits

    noted = [audits.Head.parse(text) for text in head or []]
    found = operations.verify(Desk(session.settings), at_this_machine(), noted)
    problem = found.problem
    document = {
        "verified": problem is None,
        "records": found.records,
        "head": str(found.head),
        "problem": None
        if problem is None
        else {"record": problem.id, "flaw": problem.flaw.value, "message": problem.message},
    }
    session.output.answer(document, lambda console: views.show_verification(console, found))
    return int(ExitCode.DONE if problem is None else ExitCode.REFUSED)


def export(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; .csv or .json.")],
    pilot: PilotOption = "",
    who: AuthorOption = "",
    action: ActionOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
) -> None:
    """Write the audit to a file, oldest first.

    It is CSV or JSON, as the name of the file ends.
    """
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.evidence import audits
    from pilotage.core.storage import written

    kind = _format(file)
    which = _filter(pilot, who, action, since, until)
    pieces = audits.export(Desk(session.settings), at_this_machine(), which, kind)
    with written(file) as stream:
        for piece in pieces:
            stream.write(piece.encode())
    document = {"file": str(file), "format": kind.value, "bytes": file.stat().st_size}
    session.output.answer(document, lambda console: console.print(f"Wrote {file}.", markup=False))


def _format(file: Path) -> Format:
    from pilotage.console.operations.evidence.audits import Format
    from pilotage.core import errors

    try:
        return Format(file.suffix.removeprefix(".").lower())
    except ValueError as error:
        raise errors.SettingsError(
            f"`{file}` says nothing of its format.", remedy="Let its name end in .csv or .json."
        ) from error


def _filter(pilot: str, who: str, action: str, since: str, until: str) -> Filter:
    from pilotage.console.operations.evidence.audits import Filter, parse_moment

    return Filter(
        pilot=pilot,
        who=who,
        action=action,
        since=parse_moment("since", since),
        until=parse_moment("until", until),
    )
