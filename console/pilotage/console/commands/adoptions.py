"""`adopt`: a pilot from a notebook or a script."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pilotage.console.sessions import Session, command


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "adopt", "pilotage.console.remotes.adoptions:adopt")(adopt)


def adopt(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="NOTEBOOK_OR_SCRIPT", help="A .ipynb or a .py file.")],
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the pilot; named after the file here.")
    ] = None,
) -> None:
    """Begin a pilot from a notebook or a script that trains a model.

    It is read and never executed. Writes pilot.yaml and, where data or estimator are made in code, modules
    with that code; lists what it could not decide, with cell and line. Nothing that exists is overwritten.
    """
    from pilotage.console.adoption import analyses, notebooks, writing
    from pilotage.console.views import adoptions as views

    found = analyses.analyse(notebooks.read(file))
    adopted = writing.write(found, into or Path.cwd() / writing.name_of(file))
    session.output.answer(adopted.document, lambda console: views.show(console, adopted))
