"""What a document is now, in a few letters, so that a change can name the state that it was thought for.

A tag is that of the document, not of its bytes: an operation compares it
inside the transaction of a change.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from pilotage.core import errors


def tag_of(document: Any) -> str:
    """The strong entity tag of a JSON document, or of a model that is sent as one."""
    if isinstance(document, BaseModel):
        document = document.model_dump(mode="json", by_alias=True)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def require_same(expected: str | None, document: Any) -> None:
    """Do nothing if `expected` is not given, or lists the tag of `document` as it is now.

    Raises:
        Outdated: it names another state of it.
    """
    if expected is None or expected.strip() == "*" or tag_of(document) in listed(expected):
        return
    raise errors.Outdated(
        "This has changed since you read it.", remedy="Read it again, and repeat what still has to be done."
    )


def listed(tags: str) -> list[str]:
    """The tags of a list with commas, weak ones as if they were strong."""
    return [tag.strip().removeprefix("W/") for tag in tags.split(",")]
