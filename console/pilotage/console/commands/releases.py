"""`release` and `diff`: what git says is to run in an environment, and whether that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.commands.arguments import NameArgument, WhoOption, name_of, versions_of
from pilotage.console.sessions import Session, command
from pilotage.core import errors

if TYPE_CHECKING:
    from pilotage.core.settings import Settings
    from pilotage.core.specs import PilotSpec
    from pilotage.pipelines.releases import Difference, Release, Released

ToOption = Annotated[
    str | None,
    typer.Option("--to", help="Git repository (path or URL) or folder; PILOTAGE_RELEASE_TO when left out."),
]
EnvironmentOption = Annotated[
    str | None, typer.Option("--env", help="Environment; PILOTAGE_RELEASE_ENVIRONMENT when left out.")
]
BranchOption = Annotated[
    bool | None,
    typer.Option("--branch/--commit", help="A branch for a request, or a commit; PILOTAGE_RELEASE_MODE."),
]
ReasonOption = Annotated[str, typer.Option("--reason", "--why", help="Why, for the commit and the record.")]
OptionalVersion = Annotated[
    int | None, typer.Argument(metavar="[VERSION]", min=1, help="The champion when left out.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "release", "pilotage.console.remotes.releases:release")(release)
    command(app, "diff", "pilotage.console.remotes.releases:diff")(diff)


def release(
    session: Session,
    pilot: NameArgument,
    version: OptionalVersion = None,
    to: ToOption = None,
    environment: EnvironmentOption = None,
    branch: BranchOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overrule gates and a missing approval; needs a reason.")
    ] = False,
    who: WhoOption = None,
    reason: ReasonOption = "",
) -> None:
    """Let git say that a version runs in an environment.

    Writes environments/ENV/PILOT/values.yaml for the chart and commits it, with what speaks for the version
    in the message; a plain folder gets the file alone. The same again changes nothing.
    """
    from pilotage.pipelines import releases

    settings, name = changed(session.settings, to, branch), name_of(pilot)
    done = releases.release(
        settings,
        name,
        version if version is not None else _champion(settings, name),
        environment=environment or "",
        by=who,
        reason=reason,
        force=force,
        spec=_spec(pilot),
    )
    answer(session, document_of(done))


def diff(
    session: Session,
    pilot: NameArgument,
    to: ToOption = None,
    environment: EnvironmentOption = None,
    server: Annotated[
        str,
        typer.Option(
            help="URL of the model server; PILOTAGE_RELEASE_SERVER, or the champion, when left out."
        ),
    ] = "",
) -> int:
    """What git says runs in an environment, against what runs there.

    Ends with 0 when it is the same, with 3 when it is not.
    """
    from pilotage.pipelines import releases

    settings = changed(session.settings, to, None)
    found = releases.diff(settings, name_of(pilot), environment or "", server=server)
    return answer_difference(session, difference_of(found))


def changed(settings: Settings, to: str | None, branch: bool | None) -> Settings:
    """The settings, with what options say otherwise."""
    from pilotage.core.settings import ReleaseMode

    said: dict[str, Any] = {}
    if to is not None:
        said["release_to"] = to
    if branch is not None:
        said["release_mode"] = ReleaseMode.BRANCH if branch else ReleaseMode.COMMIT
    return settings.model_copy(update=said)


def answer(session: Session, document: dict[str, Any]) -> None:
    """Say what came of a release."""
    session.output.answer(document, lambda console: console.print(told(document), markup=False))


def answer_difference(session: Session, document: dict[str, Any]) -> int:
    """Say what differs; returns the exit code."""
    session.output.answer(document, lambda console: console.print(_compared(document), markup=False))
    return int(errors.ExitCode.DONE if document["same"] else errors.ExitCode.REFUSED)


def document_of(done: Release) -> dict[str, Any]:
    """A release as `--json` prints it."""
    import dataclasses

    return dataclasses.asdict(done)


def released_of(found: Released) -> dict[str, Any]:
    """What git says, as `--json` prints it."""
    return {
        "version": found.version,
        "commit": found.commit,
        "branch": found.branch,
        "url": found.url,
        "by": found.by,
        "reason": found.reason,
        "at": None if found.at is None else found.at.isoformat(),
        "location": found.location,
    }


def difference_of(found: Difference) -> dict[str, Any]:
    """A difference as `--json` prints it."""
    return {
        "pilot": found.pilot,
        "environment": found.environment,
        "same": found.is_none,
        "git": None if found.released is None else released_of(found.released),
        "running": {
            "versions": list(found.running.versions),
            "source": found.running.source.value,
            "where": found.running.where,
        },
    }


def told(document: dict[str, Any]) -> str:
    """What came of a release, in words."""
    what = f"version {document['version']} of {document['pilot']} in {document['environment']}"
    if not document["commit"]:
        said = "holds" if document["changed"] else "holds already"
        return (
            f"{document['location']}/{document['file']} {said} {what}.\n"
            "This is no git repository, so nothing was committed."
        )
    place = f"{document['location']}, branch {document['branch']}, commit {document['commit'][:12]}"
    where = f" ({document['url']})" if document["url"] else ""
    if document["waits"]:
        verb = "proposes" if document["changed"] else "proposes already"
        return f"Git {verb} {what}: {place}{where}. Merge the branch to release it."
    verb = "says" if document["changed"] else "says already"
    replaced = f", in place of {document['replaced']}" if document["replaced"] is not None else ""
    return f"Git {verb} {what}{replaced}: {place}{where}."


def _compared(document: dict[str, Any]) -> str:
    git, running = document["git"], document["running"]
    said = "nothing" if git is None else f"version {git['version']}"
    commit = f" (commit {git['commit'][:12]} by {git['by']})" if git is not None and git["commit"] else ""
    runs = " and ".join(f"version {version}" for version in running["versions"]) or "nothing"
    verdict = "The same runs." if document["same"] else "That is not the same."
    return (
        f"Git says {said} of {document['pilot']} in {document['environment']}{commit};"
        f" {running['where']} says {runs}. {verdict}"
    )


def _champion(settings: Settings, name: str) -> int:
    from pilotage.core.registry import Alias, Registry

    registry = Registry(settings)
    champion = registry.aliases(name).get(Alias.CHAMPION)
    if champion is None:
        versions_of(registry, name)
        raise errors.NotFound(
            f"Pilot `{name}` has no champion to release.", remedy=f"Name a version: `pilotage models {name}`."
        )
    return champion


def _spec(argument: str) -> PilotSpec | None:
    """What the pilot.yaml at a path says; None where a name is given."""
    from pilotage.core import pilots

    path = Path(argument).expanduser()
    is_path = path.is_file() or (path / pilots.FILE_NAME).is_file()
    return pilots.load(path).spec if is_path else None
