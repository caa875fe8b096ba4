"""Releasing a version, and taking a release back: what is written, who may, and the record of it.

Both may be repeated at any time: what git says already is not said again. How a commit gets into a
repository is `changes`' to know, on which branch is `proposals`'.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dulwich.objects import ObjectID
from sqlalchemy import select

from pilotage.core import errors
from pilotage.core.registry.clients import RUN_TAG
from pilotage.core.settings import ReleaseMode, Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits, catalogues
from pilotage.pipelines.machines import people
from pilotage.pipelines.releases import (
    changes,
    evidence,
    folders,
    forges,
    links,
    openings,
    places,
    readings,
    reversals,
    trees,
    values,
)
from pilotage.pipelines.releases.evidence import Evidence
from pilotage.pipelines.releases.places import Kind, Place
from pilotage.pipelines.releases.proposals import Planner, Proposer, Wish, Wisher
from pilotage.pipelines.releases.repositories import Sight
from pilotage.pipelines.releases.values import Values


@dataclass(frozen=True)
class Release:
    """What releasing a version, or taking a release back, came to."""

    pilot: str
    environment: str
    version: int
    """What git says now, or will when the request is merged."""
    replaced: int | None
    """What it said before, if that was another and this call changed it."""
    changed: bool
    """False when everything was so already."""
    location: str
    """The repository or folder."""
    file: str
    """Path of the values in it."""
    commit: str = ""
    """Empty where a plain folder got the file alone."""
    branch: str = ""
    url: str = ""
    """Of the request, else of the commit; empty where nothing shows them."""
    waits: bool = False
    """Whether it is on a branch of its own that somebody has to merge."""
    signed: bool = False


@dataclass(frozen=True)
class _Job:
    """One change to one file."""

    settings: Settings
    place: Place
    pilot: str
    environment: str
    path: str
    who: str


def release(
    settings: Settings,
    pilot: str,
    version: int,
    *,
    environment: str = "",
    by: str | None = None,
    reason: str = "",
    force: bool = False,
    spec: PilotSpec | None = None,
) -> Release:
    """Let git say that `version` of `pilot` runs in `environment`.

    Args:
        settings: say where, how, and with which keys.
        pilot: its name.
        version: of it.
        environment: the settings' when empty.
        by: who releases; the person at this terminal when None.
        reason: why; needed with `force`.
        force: overrule gates, a missing approval and a rejection.
        spec: of pilot.yaml as it is now; as it was when it was last taken in or run, when None.

    Raises:
        SettingsError: where to, a name or a key is wrong.
        NotFound: there is no such version, pilot or repository.
        Forbidden, PromotionRefused: see `promotions.require_releasable`.
        Conflict: the repository does not take it, or something is in the way.
        Unavailable: repository or forge did not answer, after several attempts.
    """
    job = _job(settings, pilot, environment, by)
    if force and not reason.strip():
        raise errors.SettingsError(
            "Overruling gates or an approval needs a reason.", remedy="Say it with `--reason`."
        )
    known = evidence.gather(settings, pilot, version, job.environment, by=job.who, force=force)
    wanted = values.build(
        spec if spec is not None else _spec(settings, known),
        known.model,
        values.image_of(settings.release_image),
        known.told(reason),
    )

    def wish(held: bytes | None) -> Wish | None:
        return _wish(job, known, wanted, held, reason, forced=force)

    if job.place.kind is Kind.FOLDER:
        done, said = _into_folder(job, wish, version), ""
    else:
        done, said = _into_git(
            job, lambda sight, head: wish(_held(sight, head, job.path)), version, f"v{version}"
        )
    _record(settings, done, "release", job.who, reason, said, forced=force)
    return done


def revert(
    settings: Settings,
    pilot: str,
    *,
    environment: str = "",
    by: str | None = None,
    reason: str = "",
    version: int | None = None,
) -> Release:
    """Let git say what it said of `pilot` in `environment` before its last release.

    The same again changes nothing: what was taken back stays taken back. With `version`, that version
    is taken back, and nothing is done where git says another.

    Raises:
        NotFound: nothing was released there, or nothing before it.
        SettingsError: a plain folder has no history.
        Conflict, Unavailable: see `release`.
    """
    job = _job(settings, pilot, environment, by)
    if job.place.kind is Kind.FOLDER:
        raise errors.SettingsError(
            f"`{job.place.location}` is no git repository, so nobody knows what it said before.",
            remedy=f"`pilotage release {pilot} VERSION --to {job.place.location}` writes another version.",
        )

    def wish(sight: Sight, head: ObjectID | None) -> Wish | None:
        return reversals.wish(
            sight, head, job.path, pilot, job.environment, by=job.who, reason=reason, version=version
        )

    now = readings.read(settings, pilot, job.environment)
    done, said = _into_git(job, wish, None, f"revert-v{now.version}" if now is not None else "revert")
    _record(settings, done, "release_reverted", job.who, reason, said)
    return done


def _job(settings: Settings, pilot: str, environment: str, by: str | None) -> _Job:
    environment = places.require_name("an environment", environment or settings.release_environment)
    path = places.values_of(environment, pilot)
    return _Job(settings, openings.place_of(settings), pilot, environment, path, by or people.user())


def _wish(
    job: _Job, known: Evidence, wanted: Values, held: bytes | None, reason: str, *, forced: bool
) -> Wish | None:
    """The file as `wanted`; None where what is held says the same."""
    before = values.parsed(held)
    if before is not None and before.describes_the_same_as(wanted):
        return None
    replaced = before.model.version if before is not None else None
    said = evidence.message(
        known, job.environment, by=job.who, reason=reason, forced=forced, replaced=replaced
    )
    return Wish(values.write(wanted), said, wanted.model.version, replaced)


def _into_folder(job: _Job, wish: Callable[[bytes | None], Wish | None], version: int) -> Release:
    root = Path(job.place.location)
    wished = wish(folders.read(root, job.path))
    if wished is not None:
        folders.write(root, job.path, wished.data)
    return Release(
        pilot=job.pilot,
        environment=job.environment,
        version=version,
        replaced=None if wished is None or wished.replaced == version else wished.replaced,
        changed=wished is not None,
        location=job.place.location,
        file=job.path,
    )


def _into_git(job: _Job, wish: Wisher, version: int | None, what: str) -> tuple[Release, str]:
    """Commit what is wished; also says who made the commit where it was there before."""
    settings, place = job.settings, job.place
    forge = forges.connect(settings, place)
    main, name = settings.release_branch, ""
    planner = Planner(main, job.path, wish)
    if settings.release_mode is ReleaseMode.BRANCH:
        name = places.branch_of(job.environment, job.pilot, what)
        planner = Proposer(main, job.path, wish, name, forges.asker(forge, name))
    branches = [main, name] if name else [main]
    with openings.open_repository(settings, place, writing=True) as repository:
        made = changes.make(settings, repository, branches, planner, by=job.who)
    url = links.commit(settings, place, made.commit)
    if isinstance(planner, Proposer) and not planner.is_in_force and forge is not None:
        assert planner.wish is not None  # noqa: S101 - only then it is not in force
        url = forge.ensure(name, planner.base, planner.wish.message)
    said = version or planner.version or 0
    done = Release(
        pilot=job.pilot,
        environment=job.environment,
        version=said,
        replaced=planner.replaced if made.changed and planner.replaced != said else None,
        changed=made.changed,
        location=place.location,
        file=job.path,
        commit=made.commit,
        branch=made.branch,
        url=url,
        waits=not planner.is_in_force,
        signed=made.signed,
    )
    return done, planner.said.get("By", "")


def _held(sight: Sight, head: ObjectID | None, path: str) -> bytes | None:
    return None if head is None else trees.read(sight.store, sight.commit(head).tree, path)


def _spec(settings: Settings, known: Evidence) -> PilotSpec:
    """The pilot as it was last taken in, else as it was for the run that made the version."""
    pilot, run = known.registered.name, known.registered.tags.get(RUN_TAG)
    with tables.reading(tables.connect(settings)) as connection:
        try:
            return catalogues.get(connection, pilot).spec
        except errors.NotFound as error:
            held = connection.scalar(select(tables.runs.c.spec).where(tables.runs.c.id == run))
            if held is None:
                raise errors.NotFound(
                    f"Nothing here knows the pilot.yaml of `{pilot}`.",
                    remedy="Name its folder in place of its name.",
                ) from error
            return PilotSpec.model_validate(held)


def _record(
    settings: Settings,
    done: Release,
    action: str,
    who: str,
    reason: str,
    said_by: str,
    *,
    forced: bool = False,
) -> None:
    """Write the audit, once for each commit of a repository, also where an earlier call died before it did.

    Two repositories with one history can be given the very same commit: same bytes, same second, same hash.
    """
    if not done.changed and (said_by != who or not done.commit):
        return
    table = tables.audit
    mine = (table.c.pilot == done.pilot, table.c.version == done.version, table.c.action == action)
    details = {
        "environment": done.environment,
        "repository": done.location,
        "commit": done.commit,
        "branch": done.branch,
        "request": done.url if done.waits else "",
        "replaced": done.replaced,
        "forced": forced,
    }
    with tables.connect(settings).begin() as connection:
        tables.lock(connection, "audit")
        told = connection.execute(select(table.c.details).where(*mine)).scalars()
        here = (done.location, done.commit)
        if done.commit and any((item.get("repository"), item.get("commit")) == here for item in told):
            return
        audits.write(connection, action, done.pilot, who, reason, version=done.version, **details)
