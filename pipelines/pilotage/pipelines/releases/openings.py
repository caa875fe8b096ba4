"""Opens what the settings name: a repository on this machine or behind a network."""

from __future__ import annotations

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.releases import places
from pilotage.pipelines.releases.disks import Disk
from pilotage.pipelines.releases.places import Kind, Place
from pilotage.pipelines.releases.remotes import Remote


def place_of(settings: Settings) -> Place:
    """Where releases go.

    Raises:
        SettingsError: the settings name nothing, or nothing that can be.
    """
    if not settings.release_to:
        raise errors.SettingsError(
            "Nothing says where releases go.",
            remedy="Name a git repository or a folder with `--to`, or set PILOTAGE_RELEASE_TO.",
        )
    if settings.release_branch:
        places.require_branch(settings.release_branch)
    return places.parse(settings.release_to)


def open_repository(settings: Settings, place: Place, *, writing: bool) -> Disk | Remote:
    """The repository at a place, a context manager.

    Raises:
        SettingsError: credentials cannot be read, or its format is unknown.
    """
    if place.kind is Kind.DISK:
        return Disk(place.location, writing=writing)
    return Remote(settings, place)
