"""Requests on forges: found, opened and kept up to date, whichever forge it is.

One request a branch: an open one is found and updated, so that repeating a release opens no second one.
Nothing is merged and nothing is closed here.
"""

from __future__ import annotations

from collections.abc import Callable

from pilotage.core import errors
from pilotage.core.settings import Forge as Kind
from pilotage.core.settings import Settings
from pilotage.pipelines.releases.forges.clients import Taken
from pilotage.pipelines.releases.forges.github import GitHub
from pilotage.pipelines.releases.forges.gitlab import GitLab
from pilotage.pipelines.releases.forges.requests import Api
from pilotage.pipelines.releases.messages import Message
from pilotage.pipelines.releases.places import Place

_MOST_TITLE = 250
_MOST_BODY = 60_000


class Forge:
    """One repository on a forge."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def is_open(self, branch: str, base: str) -> bool:
        """Whether a request to merge `branch` into `base` waits."""
        return self._api.find(branch, base) is not None

    def ensure(self, branch: str, base: str, message: Message) -> str:
        """See that a request is open that says what the commit says; returns its page.

        Raises:
            SettingsError: token, repository or address is wrong.
            Conflict: the forge does not want it.
            LimitReached, Unavailable: try again later; the branch is pushed.
        """
        title, body = message.subject[:_MOST_TITLE], _body(message)
        found = self._api.find(branch, base)
        if found is None:
            try:
                return self._api.create(branch, base, title, body).url
            except Taken:  # somebody else was faster, or the answer to our own request was lost
                found = self._api.find(branch, base)
            except errors.Unavailable:
                found = self._api.find(branch, base)
                if found is None:
                    raise
        if found is None:
            raise errors.Conflict(
                f"The forge says that a request for branch `{branch}` is there, and shows none.",
                remedy="Look whether one is open into another branch, and close it.",
            )
        if (found.title, found.body.strip()) != (title, body.strip()):
            found = self._api.update(found, title, body)
        return found.url


def connect(settings: Settings, place: Place) -> Forge | None:
    """The forge that the settings name; None when they name none.

    Raises:
        SettingsError: the repository is on no forge, or there is no token.
    """
    if settings.forge is Kind.NONE:
        return None
    if settings.forge_token_file is None:
        raise errors.SettingsError(
            f"PILOTAGE_FORGE is {settings.forge.value}, and PILOTAGE_FORGE_TOKEN_FILE is not set.",
            remedy="Set it to a file with a token that may open requests.",
        )
    return Forge(GitHub(settings, place) if settings.forge is Kind.GITHUB else GitLab(settings, place))


def asker(forge: Forge | None, branch: str) -> Callable[[str], bool | None]:
    """Whether a request to merge `branch` into a base waits; None where nobody knows."""
    return lambda base: None if forge is None else forge.is_open(branch, base)


def _body(message: Message) -> str:
    """The evidence as it is in the commit, in a block that nothing in it can leave."""
    evidence = str(message).partition("\n\n")[2].strip()[:_MOST_BODY]
    return f"```text\n{evidence}\n```"
