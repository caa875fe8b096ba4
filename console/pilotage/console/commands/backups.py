"""`backup` and `restore`: an installation as one file, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pilotage.console.commands.arguments import WhoOption
from pilotage.console.sessions import Session, command

_OUTSIDE = "Not in it, because it is kept elsewhere: what {} leads to."


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "backup")(backup)
    command(app, "restore")(restore)


def backup(
    session: Session,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where to, outside the home: a tar, or a folder for one named by the time."
        ),
    ],
    who: WhoOption = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="How many are kept of those in the folder; all when left out.")
    ] = None,
) -> None:
    """Write database, models and data to one file.

    Everything may run meanwhile. The file holds the key that signs models, and digests of passwords and
    tokens: keep it as safe as the home.
    """
    from pilotage.core import errors
    from pilotage.pipelines import tables
    from pilotage.pipelines.backups import creations, rotations
    from pilotage.pipelines.machines import people

    folder = file if file.is_dir() else None
    if keep is not None and folder is None:
        raise errors.SettingsError(
            f"`--keep {keep}` is for a folder of backups, and {file} is none.",
            remedy="Make the folder, and name it.",
        )
    target = file if folder is None else rotations.place(folder, tables.now())
    made = creations.create(session.settings, target, who or people.user())
    removed = rotations.prune(folder, keep) if folder is not None and keep is not None else []
    if made.outside:
        session.output.say(_OUTSIDE.format(" and ".join(made.outside)))
    document = {**asdict(made), "file": str(made.file), "head": str(made.head)}
    document["removed"] = [str(path) for path in removed]
    session.output.answer(
        document,
        lambda console: console.print(
            f"Wrote {made.file}, {made.members} files, {made.bytes / 2**20:.1f} MB.\nSHA-256: {made.sha256}\n"
            f"Head of the audit: {made.head}",
            markup=False,
        ),
    )


def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `pilotage backup` wrote.")],
    who: WhoOption = None,
) -> int:
    """Put a backup back into an empty home and database.

    The database may be of another kind than it was. Ends with 3 if all is in place but the audit was
    tampered with. Killed on the way, it is completed by the same command.
    """
    from pilotage.core.errors import ExitCode
    from pilotage.pipelines.backups import restorations
    from pilotage.pipelines.machines import people

    done = restorations.restore(session.settings, file, who or people.user())
    if done.outside:
        session.output.say(_OUTSIDE.format(" and ".join(done.outside)))
    found = done.verification
    document = {
        "backup": done.backup,
        "created_at": done.created_at,
        "home": str(session.settings.home),
        "already": done.already,
        "audit": {
            "verified": found.problem is None,
            "head": str(found.head),
            "problem": None if found.problem is None else found.problem.message,
        },
    }
    words = "was restored here before" if done.already else "is restored"
    audit = "its audit is whole."
    if found.problem is not None:
        audit = f"but its audit is not whole: {found.problem.message}"
    session.output.answer(
        document,
        lambda console: console.print(
            f"The backup of {done.created_at[:16]} {words} in {session.settings.home}; {audit}", markup=False
        ),
    )
    return int(ExitCode.DONE if found.problem is None else ExitCode.REFUSED)
