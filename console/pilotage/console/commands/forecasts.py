"""`forecast`: what more data, a bigger model or better features would bring, or what given points say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import load_pilot
from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from pilotage.pipelines.forecasts import Options

_FAR = "pilotage.console.remotes.studies:forecast"

StudyOption = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Go on with a study that was asked for, failed or died."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "forecast", _FAR)(forecast)


def forecast(
    session: Session,
    pilot: Annotated[
        str | None,
        typer.Argument(
            metavar="[PILOT]", help="Folder with a pilot.yaml, or the file; with PILOTAGE_URL also the name."
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="In place of a pilot: columns `n`, `error` of a learning curve, or `n`, `d`, `loss` of"
            " models of size n trained on d examples; `stderr` if it is known.",
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N", help="Forecast at so many rows, too; N,D with points that have `d`. May be repeated."
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(min=2, max=20, help="Trainings of each of the smaller sizes; larger ones get fewer."),
    ] = 4,
    models: Annotated[bool, typer.Option(help="Try smaller and larger models, too.")] = True,
    features: Annotated[bool, typer.Option(help="Try without half of the features, too.")] = True,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Write the picture to this file, too.")
    ] = None,
    study: StudyOption = None,
) -> None:
    """What more data, a bigger model or better features bring.

    Trains on nested parts of the training rows and fits learning curves. What was trained is kept: a forecast
    that is begun again goes on. `docs/forecast.md` says how far it can be trusted.
    """
    if points is not None:
        _of_points(session, pilot, points, at or [], plot)
        return
    from pilotage.console.views import forecasts as views
    from pilotage.console.views.studies import StudyProgress
    from pilotage.pipelines import forecasts
    from pilotage.pipelines.machines import people

    found, options = load_pilot(_required(pilot)), options_of(at, repeats, models, features)
    with StudyProgress(session.output) as progress:
        document = forecasts.forecast(
            found.spec,
            found.folder,
            session.settings,
            options,
            people.user(),
            study=study,
            on_progress=progress.on_progress,
        )
    told = document.model_dump(mode="json")
    if plot is not None:
        write_plot(plot, told)
    session.output.answer(told, lambda console: views.show(console, told))


def options_of(at: list[str] | None, repeats: int, models: bool, features: bool) -> Options:
    """The options of a study.

    Raises:
        SettingsError: `--at` is no number of rows.
    """
    from pilotage.core import errors
    from pilotage.pipelines.forecasts import Options

    sizes = tuple(_size(text) for text in at or [])
    if any(d is not None for _, d in sizes):
        raise errors.SettingsError("`--at N,D` is for points with `n` and `d`.", remedy="Write `--at N`.")
    return Options(at=tuple(n for n, _ in sizes), repeats=repeats, models=models, features=features)


def write_plot(path: Path, document: dict[str, Any]) -> None:
    """Draw a document to a file.

    Raises:
        SettingsError: it cannot be written.
    """
    from pilotage.components.forecasts import plots
    from pilotage.core import errors

    try:
        path.write_text(plots.of_document(document), encoding="utf-8")
    except OSError as error:
        raise errors.SettingsError(
            f"`{path}` cannot be written: {error.strerror}.", remedy="Name another file with `--plot`."
        ) from error


def _of_points(session: Session, pilot: str | None, path: Path, at: list[str], plot: Path | None) -> None:
    from pilotage.components.forecasts import documents, points
    from pilotage.console.views import forecasts as views
    from pilotage.core import errors

    if pilot is not None:
        raise errors.SettingsError(
            f"Both a pilot, `{pilot}`, and `--points {path}` are named.", remedy="Leave one of them out."
        )
    found = points.read(path)
    told = documents.of_points(found, [_size(text) for text in at])
    if plot is not None:
        if told["kind"] != "curve":
            raise errors.SettingsError(
                "`--plot` draws curves; points with `d` have no one curve.", remedy="Leave it out."
            )
        write_plot(plot, documents.picture(found, told))
    session.output.answer(told, lambda console: views.show_points(console, told))


def _required(pilot: str | None) -> str:
    from pilotage.core import errors

    if pilot is None:
        raise errors.SettingsError(
            "Nothing to forecast is named.", remedy="Name a pilot's folder, or a file with `--points`."
        )
    return pilot


def _size(text: str) -> tuple[float, float | None]:
    """`N` or `N,D`.

    Raises:
        SettingsError: it is neither.
    """
    from pilotage.core import errors

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0 < number < 1e30 for number in numbers):
        raise errors.SettingsError(
            f"`--at {text}` is no number of rows.", remedy="Write a number above 0, such as `--at 50000`."
        )
    return numbers[0], numbers[1] if len(numbers) == 2 else None
