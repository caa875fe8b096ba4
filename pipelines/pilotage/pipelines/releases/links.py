"""Addresses at which people look at a commit, and the name that a forge has for a repository."""

from __future__ import annotations

from pilotage.core import errors
from pilotage.core.settings import Forge, Settings
from pilotage.pipelines.releases.places import Kind, Place


def commit(settings: Settings, place: Place, sha: str) -> str:
    """Page of a commit; empty where no forge shows it."""
    if settings.forge is Forge.NONE or not place.is_remote or not sha:
        return ""
    middle = "/-/commit/" if settings.forge is Forge.GITLAB else "/commit/"
    return f"{_root(place)}/{project(place)}{middle}{sha}"


def project(place: Place) -> str:
    """`owner/name`, or the longer path that GitLab's groups make.

    Raises:
        SettingsError: the repository has no such path.
    """
    path = place.path.strip("/").removesuffix(".git")
    if not place.is_remote or "/" not in path:
        raise errors.SettingsError(
            f"`{place.location}` is on no forge, and PILOTAGE_FORGE is set.",
            remedy="Name the repository by its https:// or ssh:// URL, or unset PILOTAGE_FORGE.",
        )
    return path


def _root(place: Place) -> str:
    if place.kind is Kind.HTTP:
        return place.location.removesuffix(place.path)
    return f"https://{place.host}"
