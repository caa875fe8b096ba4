"""`readiness`: how ready a pilot is for production, by the ML Test Score."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import (
    NameArgument,
    WhoOption,
    WhyOption,
    load_pilot,
    moment,
    name_of,
)
from pilotage.console.commands.forecasts import StudyOption
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.console.operations.desks import Desk
    from pilotage.console.operations.readiness import Note
    from pilotage.pipelines.readiness.scores import Readiness
    from pilotage.pipelines.readiness.trials import Options


class Trial(StrEnum):
    """What can be tried out."""

    TESTS = "tests"
    REPEAT = "repeat"
    SIMPLE = "simple"
    ALL = "all"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "readiness", "pilotage.console.remotes.readiness:readiness")(readiness)


def readiness(
    session: Session,
    pilot: NameArgument,
    note: Annotated[
        str | None, typer.Option(metavar="TEST", help="Vouch for a test that was done by hand, with --text.")
    ] = None,
    text: Annotated[str, typer.Option(help="With --note: what was done, and its result.")] = "",
    until: Annotated[
        str | None, typer.Option(help="With --note: when it ends (ISO 8601); in 90 days when left out.")
    ] = None,
    withdraw: Annotated[str | None, typer.Option(metavar="NOTE", help="Take a note back, by its id.")] = None,
    notes: Annotated[bool, typer.Option("--notes", help="List what people vouched for.")] = False,
    prove: Annotated[
        Trial | None,
        typer.Option(
            help="Try out what no run shows: run the folder's `tests`, `repeat` the champion's training,"
            " train a `simple` linear model beside it; or all three."
        ),
    ] = None,
    study: StudyOption = None,
    history: Annotated[bool, typer.Option("--history", help="How ready it was over time.")] = False,
    badge: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the score as an SVG.")] = None,
    least: Annotated[
        float | None, typer.Option("--min", min=0, max=7, help="End with 3 where the score is below this.")
    ] = None,
    who: WhoOption = None,
    why: WhyOption = "",
) -> int:
    """How ready a pilot is: the ML Test Score, with evidence.

    28 tests in four sections: no point, half a point where a person vouches for it, a point where what
    Pilotage holds about the pilot shows it. The score is the weakest section's. What is missing is told with
    the command or the fragment of pilot.yaml that would earn it. The score is kept when it changes, and once
    a day.
    """
    from pilotage.console.operations.desks import Desk
    from pilotage.console.views import readiness as views

    require_one(note, withdraw, prove, notes=notes, history=history, text=text, until=until)
    desk = Desk(session.settings)
    name = _known(desk, pilot)
    if note is not None or withdraw is not None:
        return _vouch(session, desk, name, note, text, until, withdraw, who, why)
    if notes:
        return show_notes(session, name, _notes(desk, name))
    if prove is not None or study is not None:
        return _prove(session, desk, name, prove or Trial.ALL, who, study)
    if history:
        return _show_history(session, desk, name)
    found = _score(desk, name)
    if badge is not None:
        write_badge(badge, found)
    session.output.answer(found.model_dump(mode="json"), lambda console: views.show(console, found))
    return exit_code(found, least)


def require_one(
    note: str | None,
    withdraw: str | None,
    prove: Trial | None,
    *,
    notes: bool,
    history: bool,
    text: str,
    until: str | None,
) -> None:
    """Do nothing if one thing is asked for.

    Raises:
        SettingsError: several are, or an option is given without what it belongs to.
    """
    from pilotage.core import errors

    asked = {
        "--note": note is not None,
        "--withdraw": withdraw is not None,
        "--prove": prove is not None,
        "--notes": notes,
        "--history": history,
    }
    named = [option for option, given in asked.items() if given]
    if len(named) > 1:
        raise errors.SettingsError(
            f"`{named[0]}` and `{named[1]}` are two things.", remedy="Ask for one after the other."
        )
    if note is None and (text or until):
        raise errors.SettingsError(
            "`--text` and `--until` belong to `--note`.", remedy="Name the test with it."
        )


def exit_code(found: Readiness, least: float | None) -> int:
    """3 where the score is below what is asked for."""
    from pilotage.core.errors import ExitCode

    return int(ExitCode.REFUSED if least is not None and found.score < least else ExitCode.DONE)


def write_badge(place: Path, found: Readiness) -> None:
    """Write the score as a picture, all or nothing."""
    from pilotage.console.pages.figures import badges
    from pilotage.core import errors, storage

    try:
        storage.write_file(place.absolute(), (str(badges.badge(found.score, found.band)) + "\n").encode())
    except OSError as error:
        raise errors.SettingsError(
            f"`{place}` cannot be written: {error.strerror}.", remedy="Name another file with `--badge`."
        ) from error


def show_notes(session: Session, pilot: str, found: list[Note]) -> int:
    """Notes, newest first."""
    from pilotage.console.views import readiness as views

    document = {"pilot": pilot, "notes": [note.model_dump(mode="json") for note in found]}
    session.output.answer(document, lambda console: views.show_notes(console, found))
    return 0


def show_note(session: Session, note: Note) -> int:
    """A note that was added or taken back."""
    from pilotage.console.views import readiness as views

    session.output.answer(note.model_dump(mode="json"), lambda console: views.show_note(console, note))
    return 0


def _known(desk: Desk, pilot: str) -> str:
    """The pilot's name; a folder that was never taken in is."""
    from pilotage.pipelines.journals import catalogues

    if Path(pilot).expanduser().exists():
        found = load_pilot(str(Path(pilot).expanduser()))
        with desk.engine.begin() as connection:
            catalogues.put(connection, found.spec, found.folder)
        return found.name
    return name_of(pilot)


def _score(desk: Desk, pilot: str) -> Readiness:
    from pilotage.pipelines.readiness import histories, judgements

    found = judgements.assess(desk.settings, pilot, engine=desk.engine, registry=desk.registry)
    histories.record(desk.engine, found)
    return found


def _notes(desk: Desk, pilot: str) -> list[Note]:
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations import readiness as operations

    return list(operations.list_notes(desk, at_this_machine(), pilot).items)


def _vouch(
    session: Session,
    desk: Desk,
    pilot: str,
    note: str | None,
    text: str,
    until: str | None,
    withdraw: str | None,
    who: str | None,
    why: str,
) -> int:
    from pilotage.console.access.actors import ALL, Actor, Grant, Role
    from pilotage.console.operations import readiness as operations
    from pilotage.pipelines.machines import people

    actor = Actor(who or people.user(), frozenset({Grant(ALL, Role.ADMIN)}))
    if note is not None:
        made = operations.add_note(desk, actor, pilot, note, text, until=moment("--until", until))
        return show_note(session, made)
    return show_note(session, operations.withdraw_note(desk, actor, pilot, withdraw or "", why=why))


def _prove(session: Session, desk: Desk, pilot: str, prove: Trial, who: str | None, study: str | None) -> int:
    from pilotage.console.views.studies import StudyProgress
    from pilotage.pipelines.machines import people
    from pilotage.pipelines.readiness import trials

    with StudyProgress(session.output) as progress:
        made, found = trials.run(
            desk.settings,
            pilot,
            options_of(prove),
            who or people.user(),
            study=study,
            on_progress=progress.on_progress,
        )
    return show_proofs(session, trials.document(made, found))


def options_of(prove: Trial) -> Options:
    """The options of a study."""
    from pilotage.pipelines.readiness.proofs import Kind
    from pilotage.pipelines.readiness.trials import Options

    return Options() if prove is Trial.ALL else Options(prove=(Kind(prove.value),))


def show_proofs(session: Session, document: dict[str, Any]) -> int:
    """What was tried out; 3 where something did not pass."""
    from pilotage.console.views import readiness as views
    from pilotage.core.errors import ExitCode

    session.output.answer(document, lambda console: views.show_proofs(console, document))
    passed = all(proof["passed"] for proof in document["proofs"])
    return int(ExitCode.DONE if passed else ExitCode.REFUSED)


def _show_history(session: Session, desk: Desk, pilot: str) -> int:
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations import readiness as operations
    from pilotage.console.views import readiness as views

    found = list(operations.list_history(desk, at_this_machine(), pilot).items)
    document = {"pilot": pilot, "history": [entry.model_dump(mode="json") for entry in found]}
    session.output.answer(document, lambda console: views.show_history(console, found))
    return 0
