"""Arguments that several commands take, and finding the pilot that one names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from pilotage.console.operations.desks import Desk
    from pilotage.core.pilots import Pilot
    from pilotage.core.registry import Registered, Registry
    from pilotage.core.specs import PilotSpec

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


def spec_of(desk: Desk, argument: str) -> PilotSpec:
    """The pilot.yaml at a path, or the one that the installation knows by this name.

    Raises:
        NotFound, SpecError: see `load_pilot` and `name_of`.
    """
    from pilotage.console.access.actors import at_this_machine
    from pilotage.console.operations import specs

    if Path(argument).exists():
        return load_pilot(argument).spec
    return specs.find(desk, at_this_machine(), name_of(argument))


def moment(option: str, text: str | None) -> datetime | None:
    """A time that an option names; one without an offset is UTC.

    Raises:
        SettingsError: it is none.
    """
    from pilotage.core import errors, features

    try:
        return features.parse_time(text)
    except ValueError as error:
        raise errors.SettingsError(
            f"`{option} {text}` is not a time.", remedy="Write it as ISO 8601, such as 2026-11-02T06:00:00Z."
        ) from error


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
