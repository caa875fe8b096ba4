"""`synthesize`, `purge` and `forget`: rows in the place of people's, and people's rows deleted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.commands.arguments import NameArgument, RunnableArgument, load_pilot, name_of
from pilotage.console.commands.forecasts import StudyOption
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.core.artifacts import Synthesis
    from pilotage.pipelines.studies.syntheses import Options

_FAR = "pilotage.console.remotes.privacy"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "synthesize", f"{_FAR}:synthesize")(synthesize)
    command(app, "purge", f"{_FAR}:purge")(purge)
    command(app, "forget", f"{_FAR}:forget")(forget)


def synthesize(
    session: Session,
    pilot: RunnableArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .parquet or .csv file; replaced. The study keeps the rows when left out.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(help="How many rows.")] = 1000,
    study: StudyOption = None,
) -> int:
    """Write synthetic rows that are like a pilot's.

    They give none of its rows away, or are not written.

    They are learned from the training part alone. What was measured is written beside the file; where a gate
    says no, the rows are not written.
    """
    from pilotage.components import synthesize as step
    from pilotage.console.views.studies import StudyProgress
    from pilotage.pipelines.machines import people
    from pilotage.pipelines.studies import syntheses

    options = options_of(rows, output)
    found = load_pilot(pilot)
    with StudyProgress(session.output) as progress:
        name, report = syntheses.run(
            found.spec,
            found.folder,
            session.settings,
            options,
            people.user(),
            target=output,
            study=study,
            on_progress=progress.on_progress,
        )
    return answer(session, name, report, None if output is None else f"{output}{step.REPORT}")


def options_of(rows: int, output: Path | None) -> Options:
    """The options of a study; the format is that of the file.

    Raises:
        RequestError: there is no such format, or the number of rows cannot be.
    """
    from pilotage.components import synthesize as step
    from pilotage.pipelines.studies.syntheses import Format, Options

    target = output or Path("rows.csv")
    step.require_possible(rows, target)
    return Options(rows=rows, format=Format(target.suffix[1:]))


def answer(session: Session, study: str, report: Synthesis, beside: str | None) -> int:
    """Print what was measured, and where it is told; returns the exit code."""
    from pilotage.console.views import privacy as views
    from pilotage.core.errors import ExitCode

    document = {**report.model_dump(mode="json"), "study": study, "report": beside}
    session.output.answer(document, lambda console: views.show_synthesis(console, report))
    return int(ExitCode.DONE if report.passed else ExitCode.REFUSED)


def purge(
    session: Session,
    pilot: Annotated[
        str | None,
        typer.Argument(metavar="[PILOT]", help="A pilot; all that say `data.retention` when left out."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go; delete nothing.")] = False,
) -> None:
    """Delete what is older than `data.retention`.

    That is snapshots, logged rows, samples and labels. What trained the champion, the version before it or
    the challenger stays, and so do windows, which are counts. The scheduler of `pilotage up` does this
    every hour.
    """
    from pilotage.console.views import privacy as views
    from pilotage.pipelines import tables
    from pilotage.pipelines.deletions import retentions
    from pilotage.pipelines.machines import people

    name = None if pilot is None else name_of(pilot)
    engine = tables.connect(session.settings)
    try:
        found = retentions.purge(engine, session.settings, name, who=people.user(), dry_run=dry_run)
    finally:
        engine.dispose()
    documents = [{**item.document(), "dry_run": dry_run} for item in found]
    session.output.answer({"purged": documents}, lambda console: views.show_purged(console, documents))


def forget(
    session: Session,
    pilot: NameArgument,
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]…", help="Keys of the rows.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--keys-file", help="File with a key a line; `-` reads standard input, which no list shows."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go; erase nothing.")] = False,
) -> None:
    """Erase the rows with these keys from all that is held.

    That is snapshots, row logs, samples and labels. Versions that were trained on them are marked. The
    audit tells of it with keyed hashes of the keys. What a crash leaves is finished by the same command
    again, or by the scheduler.
    """
    from pilotage.console.views import privacy as views
    from pilotage.pipelines import tables
    from pilotage.pipelines.deletions import erasures, previews
    from pilotage.pipelines.machines import people

    name, wanted = name_of(pilot), read_keys(keys, file)
    engine = tables.connect(session.settings)
    try:
        if dry_run:
            found = previews.preview(engine, session.settings, name, wanted).document()
            session.output.answer(found, lambda console: views.show_preview(console, found, wanted))
            return
        done = erasures.forget(engine, session.settings, name, wanted, who=people.user(), why=reason)
    finally:
        engine.dispose()
    document = done.document()
    session.output.answer(document, lambda console: views.show_erased(console, document, wanted))


def read_keys(keys: list[str] | None, file: Path | None) -> list[str]:
    """Keys from the command line and a file.

    Raises:
        NotFound: there is no such file.
    """
    import sys

    from pilotage.core import errors

    found = list(keys or ())
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise errors.NotFound(f"`{file}` cannot be read: {error}.", remedy="Name a text file.") from error
        found += [line.strip() for line in text.splitlines() if line.strip()]
    return found
