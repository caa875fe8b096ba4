"""What git says runs: read from its main branch, with who made it so, when and why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.releases import changes, folders, histories, links, openings, places, trees, values
from pilotage.pipelines.releases.messages import trailers_of
from pilotage.pipelines.releases.places import Kind, Place
from pilotage.pipelines.releases.repositories import Sight

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Released:
    """What git says runs."""

    pilot: str
    environment: str
    version: int
    values: values.Values
    location: str
    """The repository or folder."""
    commit: str = ""
    """That made it so; empty in a plain folder."""
    branch: str = ""
    url: str = ""
    """Page of that commit; empty where no forge shows it."""
    by: str = ""
    reason: str = ""
    at: datetime | None = None


def read(settings: Settings, pilot: str, environment: str = "") -> Released | None:
    """What git says of `pilot` in `environment`; None when nothing was released there.

    Raises:
        SettingsError: where to look, a name or a key is wrong.
        NotFound: there is no such repository.
        Unavailable: it does not answer.
        DataError: somebody edited the file so that it is none.
        Conflict: a link is in the file's place.
    """
    environment = places.require_name("an environment", environment or settings.release_environment)
    path, place = places.values_of(environment, pilot), openings.place_of(settings)
    if place.kind is Kind.FOLDER:
        data = folders.read(Path(place.location), path)
        said = None if data is None else values.read(data, path)
        return (
            None if said is None else Released(pilot, environment, said.model.version, said, place.location)
        )
    with openings.open_repository(settings, place, writing=False) as repository:
        return changes.look(
            repository,
            [settings.release_branch],
            lambda sight: _find(settings, place, sight, pilot, environment, path),
        )


def read_all(settings: Settings, pilot: str) -> list[Released]:
    """What git says of `pilot` in each environment, by name; files that are none are left out.

    Raises:
        SettingsError, NotFound, Unavailable: see `read`.
    """
    place, root = openings.place_of(settings), places.ROOT
    if place.kind is Kind.FOLDER:
        names = sorted(item.parent.name for item in (Path(place.location) / root).glob(f"*/{pilot}"))
        found = [_kept(partial(read, settings, pilot, name)) for name in names if places.is_name(name)]
        return [item for item in found if item is not None]
    with openings.open_repository(settings, place, writing=False) as repository:
        return changes.look(
            repository, [settings.release_branch], lambda sight: _find_all(settings, place, sight, pilot)
        )


def _find_all(settings: Settings, place: Place, sight: Sight, pilot: str) -> list[Released]:
    head = sight.heads.get(settings.release_branch or sight.default)
    names = [] if head is None else trees.folders(sight.store, sight.commit(head).tree, places.ROOT)
    found = []
    for name in filter(places.is_name, names):
        path = places.values_of(name, pilot)
        found.append(_kept(partial(_find, settings, place, sight, pilot, name, path)))
    return [item for item in found if item is not None]


def _kept(find: Callable[[], Released | None]) -> Released | None:
    """What is found, but not what somebody made unreadable: the others are to be seen."""
    try:
        return find()
    except (errors.DataError, errors.Conflict) as error:
        logger.warning("%s", error)
        return None


def _find(
    settings: Settings, place: Place, sight: Sight, pilot: str, environment: str, path: str
) -> Released | None:
    branch = settings.release_branch or sight.default
    head = sight.heads.get(branch)
    data = None if head is None else trees.read(sight.store, sight.commit(head).tree, path)
    if head is None or data is None:
        return None
    sha = histories.last_change(sight, head, path) or head
    commit, said = sight.commit(sha), values.read(data, path)
    told = trailers_of(commit.message)
    return Released(
        pilot=pilot,
        environment=environment,
        version=said.model.version,
        values=said,
        location=place.location,
        commit=sha.decode(),
        branch=branch,
        url=links.commit(settings, place, sha.decode()),
        by=told.get("By") or commit.author.decode(errors="replace"),
        reason=told.get("Reason", ""),
        at=datetime.fromtimestamp(commit.commit_time, UTC),
    )
