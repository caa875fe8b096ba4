"""`card` and `export`: what is written down about a version, and what proves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import NameArgument, load_pilot, name_of
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.console.operations.evidence.dossiers import Told
    from pilotage.console.operations.evidence.exports import Export, Verdict
    from pilotage.core.specs import PilotSpec

OptionalVersion = Annotated[
    int | None,
    typer.Argument(metavar="[VERSION]", min=1, help="The champion, else the newest, when left out."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "card", "pilotage.console.remotes.dossiers:card")(card)
    command(app, "export", "pilotage.console.remotes.dossiers:export")(export)


def card(
    session: Session,
    pilot: NameArgument,
    version: OptionalVersion = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write it there: .html or .md; printed when left out.")
    ] = None,
) -> None:
    """The model card of a version, with its gaps named.

    Where PILOT is a folder, `card`, `owner` and `description` are read from its pilot.yaml as it is now.
    """
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.evidence import dossiers

    suffix = suffix_of(out)
    desk, name = Desk(session.settings), name_of(pilot)
    number = dossiers.chosen(desk, name, version)
    told = dossiers.tell(desk, at_this_machine(), name, number, _spoken(pilot))
    answer_card(session, told, out, suffix)


def export(
    session: Session,
    pilot: Annotated[
        str | None, typer.Argument(metavar="[PILOT]", help="Folder with a pilot.yaml, the file, or the name.")
    ] = None,
    version: OptionalVersion = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The archive; PILOT-VERSION-export.zip when left out.")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option(help="Check the archive at this path instead; needs no installation.")
    ] = None,
) -> int:
    """All that speaks for a version, in one archive.

    The archive proves itself; `--verify` checks one.

    It holds no row of the data but the few that the scorecard takes apart, and no secret. 3 when --verify
    finds something wrong.
    """
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.evidence import dossiers, exports
    from pilotage.core.storage import written

    if verify is not None:
        return check(session, pilot, verify)
    name = name_of(require_pilot(pilot))
    desk = Desk(session.settings)
    number = dossiers.chosen(desk, name, version)
    place = out or Path(exports.name_of(name, number))
    with written(place) as stream:
        made = exports.write(
            desk, at_this_machine(), name, number, stream, file=str(place), spoken=_spoken(str(pilot))
        )
    answer_export(session, made)
    return 0


def check(session: Session, pilot: str | None, file: Path) -> int:
    """Look at an archive that is here, wherever it was made."""
    from pilotage.console.operations.evidence import exports
    from pilotage.core import errors

    if pilot is not None:
        raise errors.SettingsError(
            "`--verify` checks a file, and a pilot is named as well.", remedy="Leave one of them out."
        )
    found = exports.verify(file, session.settings)
    session.output.answer(found.model_dump(mode="json"), lambda console: _show_verdict(console, found))
    return int(errors.ExitCode.DONE if found.verified else errors.ExitCode.REFUSED)


def require_pilot(pilot: str | None) -> str:
    """The pilot that is named.

    Raises:
        SettingsError: none is.
    """
    from pilotage.core import errors

    if pilot is None:
        raise errors.SettingsError(
            "No pilot is named.", remedy="`pilotage export PILOT [VERSION]`, or `--verify FILE`."
        )
    return pilot


def suffix_of(out: Path | None) -> str:
    """`html` or `md`, as a file's name ends.

    Raises:
        SettingsError: it ends otherwise.
    """
    from pilotage.core import errors

    suffix = "md" if out is None else out.suffix.lower().removeprefix(".")
    if suffix not in ("html", "md"):
        raise errors.SettingsError(
            f"`{out}` says nothing of its format.", remedy="Let its name end in .html or .md."
        )
    return suffix


def answer_card(session: Session, told: Told, out: Path | None, suffix: str) -> None:
    """Write or print a card, and say what it does not say."""
    from pilotage.core.storage import write_file

    if out is not None:
        write_file(out, (told.html if suffix == "html" else told.markdown).encode())
    document = {
        "pilot": told.pilot,
        "version": told.version,
        "file": None if out is None else str(out),
        "gaps": [gap.model_dump(mode="json") for gap in told.gaps],
        "markdown": told.markdown,
    }
    session.output.answer(document, lambda console: _show_card(console, told, out))


def answer_export(session: Session, made: Export) -> None:
    """Say what was written."""
    session.output.answer(made.model_dump(mode="json"), lambda console: _show_export(console, made))


def _spoken(pilot: str) -> PilotSpec | None:
    return load_pilot(pilot).spec if Path(pilot).exists() else None


def _say(console: Any, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _show_card(console: Any, told: Told, out: Path | None) -> None:
    if out is None:
        _say(console, told.markdown)
        return
    _say(console, f"Wrote {out}: version {told.version} of {told.pilot}.")
    for gap in told.gaps:
        _say(console, f"Not stated: {gap.what} – {gap.remedy}")


def _show_export(console: Any, made: Export) -> None:
    _say(console, f"Wrote {made.file}: {len(made.files)} files about version {made.version} of {made.pilot}.")
    for name, why in made.missing.items():
        _say(console, f"Not in it: {name} – {why}")
    _say(console, "Signed." if made.signed else "Not signed: PILOTAGE_SIGNING_KEY_FILE is not set.")
    _say(console, f"Digest of its manifest: {made.manifest}")


def _show_verdict(console: Any, found: Verdict) -> None:
    if found.verified:
        signed = {True: "signed by the key", False: "not signed", None: "its signature not looked at"}
        whole = f"{found.files} files about version {found.version} of {found.pilot}"
        _say(console, f"{found.file} is whole: {whole}, {signed[found.signed]}.")
        _say(console, f"Audit: {found.audit}.")
    for problem in found.problems:
        _say(console, problem)
