"""Arguments that several commands take, and finding the pilot that one names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pilotage.core.pilots import Pilot
    from pilotage.core.registry import Registered, Registry

PilotArgument = Annotated[str, typer.Argument(metavar="PILOT", help="Folder with a pilot.yaml, or the file.")]
RunnableArgument = Annotated[
    str,
    typer.Argument(
        metavar="PILOT", help="Folder with a pilot.yaml, or the file; with PILOTAGE_URL also the name."
    ),
]
NameArgument = Annotated[
    str, typer.Argument(metavar="PILOT", help="Folder with a pilot.yaml, the file, or the pilot's name.")
]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of the version.")]
WhoOption = Annotated[str | None, typer.Option(help="Who decides; user@host when left out.")]
WhyOption = Annotated[str, typer.Option(help="Why, for the record.")]


def load_pilot(argument: str) -> Pilot:
    """The pilot at a path.

    Raises:
        NotFound, SpecError: see `pilotage.core.pilots.load`.
    """
    from pilotage.core import pilots

    return pilots.load(Path(argument))


def name_of(argument: str) -> str:
    """The name of the pilot that a path or a name stands for.

    Raises:
        NotFound: it is neither a path nor a name.
        SpecError: it is a path with a pilot.yaml that cannot be read.
    """
    import re

    from pilotage.core import errors, pilots

    path = Path(argument).expanduser()
    if path.is_file() or (path / pilots.FILE_NAME).is_file():
        return pilots.load(path).name
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", argument):
        return argument
    raise errors.NotFound(
        f"`{argument}` is neither a folder with a pilot.yaml nor a pilot's name.",
        remedy="Name one of these.",
    )


def versions_of(registry: Registry, name: str) -> list[Registered]:
    """The versions of pilot `name`, newest first; none while a pilot has had one and lost it.

    Raises:
        NotFound: no pilot of that name ever had a version here.
    """
    from pilotage.core import errors

    found = registry.versions(name)
    if not found and name not in registry.names():
        known = ", ".join(registry.names())
        raise errors.NotFound(
            f"There is no version of `{name}` here.",
            remedy=f"Pilots with versions are {known}." if known else "`pilotage run PILOT` makes the first.",
        )
    return found
