"""Parts of long lists: a page of items, and where the next begins."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pilotage.core import errors

MOST = 200
"""Items of one page."""

ItemT = TypeVar("ItemT")


class Model(BaseModel):
    """What the API sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listing(Model, Generic[ItemT]):
    """Some items of a list, and the cursor of those that follow."""

    items: tuple[ItemT, ...]
    next: str | None = None
    """Goes into `cursor` of the next request; null on the last page."""


def cursor_of(*position: Any) -> str:
    """A position in a list, as opaque text."""
    text = json.dumps(position, default=str, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(cursor: str, length: int) -> list[Any]:
    """The `length` values that `cursor_of` was given.

    Raises:
        SettingsError: it is none of ours.
    """
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise _not_ours(cursor) from error
    if not isinstance(found, list) or len(found) != length:
        raise _not_ours(cursor)
    return found


def _not_ours(cursor: str) -> errors.SettingsError:
    return errors.SettingsError(
        f"`cursor` is `{cursor[:40]}`, which no list gave.", remedy="Take it from `next`, or leave it out."
    )
