"""Pinned versions: how they are named, and that the registry knows them.

Whoever pins a version (a chart's values, written by a commit) decides what serves, so a version that does
not exist is a mistake to end with. A registry that does not answer is not: it may come later, and the
server waits for it, live and not ready. Loading is the follower's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from pilotage.core import errors
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0
"""How long the registry may take to say whether the versions exist; nothing is answered meanwhile."""


def parse(given: Sequence[str]) -> dict[str, int]:
    """Versions by pilot, of texts such as `flight-delay=7`.

    Raises:
        SettingsError: a text is of another form, or a pilot is pinned twice.
    """
    found: dict[str, int] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        if not name or not (number.isascii() and number.isdecimal()) or not int(number):
            raise errors.SettingsError(
                f"`--pin {text}` names no version, expected a pilot's name, `=` and a number from 1.",
                remedy="Write `--pin flight-delay=7`.",
            )
        if name in found:
            raise errors.SettingsError(
                f"`{name}` is pinned to version {found[name]} and to {int(number)}.",
                remedy="Pin one version.",
            )
        found[name] = int(number)
    return found


def require(settings: Settings, pins: Mapping[str, int]) -> None:
    """Return when the versions exist, or the registry does not say so in time.

    Raises:
        NotFound: one does not exist.
    """
    if not pins:
        return
    wrong: list[errors.NotFound] = []
    asking = threading.Thread(target=_ask, args=(settings, pins, wrong), name="pins", daemon=True)
    asking.start()
    asking.join(_PATIENCE_SECONDS)
    if wrong:
        raise wrong[0]
    if asking.is_alive():
        logger.warning("the registry takes long to say whether the pinned versions exist: starting anyway")


def _ask(settings: Settings, pins: Mapping[str, int], wrong: list[errors.NotFound]) -> None:
    registry = Registry(settings)
    for name, version in pins.items():
        try:
            registry.version(name, version)
        except errors.NotFound as error:
            wrong.append(error)
        except Exception as error:
            logger.warning(
                "the registry cannot say whether version %d of %s exists, starting anyway and not ready until"
                " it can: %s",
                version,
                name,
                error,
            )
            return
