"""`shrink`: smaller models of a version, one of them a version of its own, and a bundle for the edge."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import RunnableArgument, load_pilot
from pilotage.console.commands.forecasts import StudyOption, write_picture
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotage.pipelines.studies.shrinks import Options

_FAR = "pilotage.console.remotes.shrinks:shrink"


class Purpose(StrEnum):
    """What a smaller model is for: `core.artifacts.Objective`, which is not loaded to show help."""

    BALANCED = "balanced"
    SIZE = "size"
    LATENCY = "latency"
    THROUGHPUT = "throughput"


ObjectiveOption = Annotated[
    Purpose,
    typer.Option(
        help="Less of anything and slower nowhere; or a smaller file; or a row, or a batch, sooner."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "shrink", _FAR)(shrink)


def shrink(
    session: Session,
    pilot: RunnableArgument,
    version: Annotated[
        int | None, typer.Option("--version", min=1, metavar="N", help="The champion when left out.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="X", help="How much of the metric may be lost; 1 % of its size when left out."
        ),
    ] = None,
    at_most: Annotated[
        float,
        typer.Option(
            max=1, metavar="SHARE", help="Share of the size, or of a time, that a candidate may have."
        ),
    ] = 0.5,
    objective: ObjectiveOption = Purpose.BALANCED,
    choose: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="This candidate, in place of the rule; `original` for a bundle."),
    ] = None,
    register: Annotated[
        bool, typer.Option(help="Register the chosen one as a version; gates and approval decide about it.")
    ] = True,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR_OR_ZIP", help="Write the chosen one for machines with onnxruntime alone."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write the picture to this file, too.")
    ] = None,
    study: StudyOption = None,
) -> int:
    """Smaller forms of a version, judged by the same gates.

    Each is judged on the rows held out, beside the version itself.

    Exit code 3 when none passes, with the reasons. `docs/shrink.md` says how each is made.
    """
    from pilotage.console.views import shrinks as views
    from pilotage.console.views.studies import StudyProgress
    from pilotage.pipelines.machines import people
    from pilotage.pipelines.studies import shrinks

    found = load_pilot(pilot)
    options = options_of(version, max_drop, at_most, choose, objective=objective, register=register)
    with StudyProgress(session.output) as progress:
        name, made = shrinks.run(
            found.spec,
            found.folder,
            session.settings,
            options,
            people.user(),
            study=study,
            bundle=bundle,
            on_progress=progress.on_progress,
        )
    return answer(session, {"study": name, **made.model_dump(mode="json")}, plot, bundle, views.show)


def options_of(
    version: int | None,
    max_drop: float | None,
    at_most: float,
    choose: str | None,
    *,
    objective: Purpose,
    register: bool,
) -> Options:
    """The options of a study.

    Raises:
        SettingsError: one is out of its bounds.
    """
    from pydantic import ValidationError

    from pilotage.core import errors
    from pilotage.pipelines.studies.shrinks import Options

    told = {
        "version": version,
        "max_drop": max_drop,
        "at_most": at_most,
        "objective": objective.value,
        "choose": choose,
        "register": register,
    }
    try:
        return Options.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise errors.SettingsError(
            f"`--{option} {first['input']}` is wrong: {first['msg']}.", remedy="`--help` says what it takes."
        ) from error


def answer(
    session: Session, document: Mapping[str, Any], plot: Path | None, bundle: Path | None, show: Any
) -> int:
    """Print what was found and write its picture; returns the exit code.

    Raises:
        SettingsError: the picture cannot be written.
    """
    from pilotage.components.shrinking import plots
    from pilotage.core import errors

    if plot is not None:
        write_picture(plot, plots.of_document(document))
    written = str(bundle) if bundle is not None and document["chosen"] is not None else None
    told = {**document, "bundle": written}
    session.output.answer(told, lambda console: show(console, told))
    return int(errors.ExitCode.DONE if document["chosen"] is not None else errors.ExitCode.REFUSED)
