"""`score`: a version's predictions for a whole table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.console.commands.arguments import NameArgument, load_pilot, name_of
from pilotage.console.commands.forecasts import StudyOption
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.core.artifacts import Scores


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "score", "pilotage.console.remotes.scoring:score")(score)


def score(
    session: Session,
    pilot: NameArgument,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="Parquet, CSV or JSON lines: a path, a glob in quotes or a URL.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Argument(metavar="OUTPUT", show_default=False, help="The Parquet file to write."),
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, metavar="N", help="The champion when left out.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=1,
            max=256,
            metavar="N",
            help="Processes that share the rows, on Ray; Parquet only.",
        ),
    ] = 1,
    pipeline: Annotated[
        bool,
        typer.Option(
            "--pipeline", help="As a KFP pipeline, recorded under `pilotage runs`; PILOT is a folder."
        ),
    ] = False,
    study: StudyOption = None,
) -> None:
    """Predict all rows of a table with a version of the pilot.

    OUTPUT has the pilot's key where INPUT has it, the prediction, the score or probabilities, and the
    version, in the order of the rows. Called again after it was stopped, it goes on where it was.
    """
    from pilotage.core import errors

    if study is not None:
        _study(session, pilot, study)
        return
    source, output = required(source, output)
    if pipeline and workers > 1:
        raise errors.Conflict(
            "With --pipeline, pilot.yaml says how many workers score.",
            remedy="Say `cluster.steps.score.resources.workers` there, and leave out --workers.",
        )
    if pipeline:
        found = _by_pipeline(session, pilot, source, output, version)
    else:
        found = _here(session, pilot, source, output, version, workers)
    session.output.answer(found.model_dump(mode="json"), lambda console: show(console, found))


def required(source: str | None, output: Path | None) -> tuple[str, Path]:
    """Input and output, which a study that goes on alone needs not.

    Raises:
        SettingsError: one is not given.
        NotFound: the output is no Parquet file.
    """
    from pilotage.core import errors

    if source is None or output is None:
        raise errors.SettingsError(
            f"{'INPUT' if source is None else 'OUTPUT'} is missing.",
            remedy="`pilotage score PILOT INPUT OUTPUT`: the table, and the Parquet file to write.",
        )
    if output.is_dir() or output.suffix not in (".parquet", ".pq"):
        raise errors.NotFound(
            f"`{output}` is {'a folder' if output.is_dir() else 'no Parquet file'}.",
            remedy="Name a file that ends in .parquet.",
        )
    return source, output


def _study(session: Session, pilot: str, study: str) -> None:
    """Carry out what a console was asked for."""
    from pilotage.console.views.studies import StudyProgress
    from pilotage.pipelines.machines import people
    from pilotage.pipelines.studies import batches

    found = load_pilot(pilot)
    with StudyProgress(session.output) as progress:
        name, made = batches.run(
            found.spec,
            found.folder,
            session.settings,
            people.user(),
            study=study,
            on_progress=progress.on_progress,
        )
    document = {"study": name, **made.model_dump(mode="json")}
    session.output.answer(document, lambda console: show(console, made))


def _here(
    session: Session, pilot: str, source: str, output: Path, version: int | None, workers: int
) -> Scores:
    name = name_of(pilot)
    from pilotage.components import score as step
    from pilotage.console.views.scores import ScoreProgress
    from pilotage.core.specs import Resources

    with ScoreProgress(session.output) as progress:
        return step.score(
            name,
            session.settings,
            source,
            output.absolute(),
            folder=Path.cwd(),
            version=version,
            resources=Resources(workers=workers),
            on_progress=progress.on_progress,
        )


def _by_pipeline(session: Session, pilot: str, source: str, output: Path, version: int | None) -> Scores:
    import shutil

    found = load_pilot(pilot)
    from pilotage.console.views.progress import RunProgress
    from pilotage.pipelines.execution import scorings

    place = source if "://" in source else str(Path(source).absolute())
    with RunProgress(session.output) as progress:
        made = scorings.run(
            found.spec, found.folder, session.settings, place, version, on_event=progress.on_event
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.name}.draft")
    shutil.copyfile(made.file, draft)
    draft.rename(output)
    return made.model_copy(update={"file": str(output.absolute())})


def show(console: Console, found: Scores) -> None:
    """How many rows were scored, with what, and where they are."""
    again = f", {found.resumed:,} of them before" if found.resumed else ""
    shared = f" by {found.workers} workers" if found.workers > 1 else ""
    console.print(
        f"Scored [bold]{found.rows:,}[/] rows{shared} with version {found.version} of {found.pilot}{again}:"
        f" [bold]{found.file}[/]"
    )
