"""What a run may be asked to do differently: without the cache, or with other values below `train`.

The pilot's data, gates and approval are never a parameter: what they promise
holds for every run.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pilotage.core import errors
from pilotage.core.specs import PilotSpec

_BELOW = "train"
_DEEPEST = 10
"""Lists and mappings in each other."""


class Parameters(BaseModel):
    """Parameters of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cache: bool = True
    """Whether outputs of earlier, equal steps may be used."""
    overrides: dict[str, Any] = {}
    """Values by dotted key of pilot.yaml, such as `train.params.max_iter`."""

    def apply(self, spec: PilotSpec) -> PilotSpec:
        """`spec` with the overrides in it.

        Raises:
            SpecError: a key is not below `train.`, or a value is none that pilot.yaml takes there, or that
                JSON can hold.
        """
        if not self.overrides:
            return spec
        content = spec.model_dump(mode="json", exclude_unset=True)
        for key, value in self.overrides.items():
            _require_allowed(key, value, spec)
            _put(content, key, value)
        try:
            return PilotSpec.model_validate(content)
        except ValidationError as error:
            raise _wrong(error) from error


def _require_allowed(key: str, value: Any, spec: PilotSpec) -> None:
    if not _is_plain(key) or not _is_plain(value):
        raise errors.SpecError(
            f"The override `{ascii(key)[1:-1]}` has a value that cannot be kept: a number that is not finite,"
            f" broken letters, or lists in lists deeper than {_DEEPEST}.",
            remedy="Give numbers, text, truths, and lists or mappings of them.",
            key=key,
        )
    first, *rest = key.split(".")
    if first != _BELOW or not rest or not all(rest):
        raise errors.SpecError(
            f"The override `{key}` is not of a key below `{_BELOW}.`.",
            remedy=f"Write a dotted key such as `{_BELOW}.params.max_iter`; change all else in pilot.yaml.",
            key=key,
        )
    if rest == ["estimator"] and ":" in str(value) and value != spec.train.estimator:
        raise errors.SpecError(
            f"The override `{key}` names code, `{value}`; only pilot.yaml says which code is run.",
            remedy="Name a built-in estimator, or change pilot.yaml.",
            key=key,
        )


def _is_plain(value: Any, left: int = _DEEPEST) -> bool:
    """Whether JSON, and what reads it later, can hold a value."""
    if isinstance(value, dict):
        return left > 0 and all(_is_plain(key) and _is_plain(item, left - 1) for key, item in value.items())
    if isinstance(value, list | tuple):
        return left > 0 and all(_is_plain(item, left - 1) for item in value)
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return not isinstance(value, float) or math.isfinite(value)


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    place = content
    for depth, name in enumerate(above):
        found = place.setdefault(name, {})
        if not isinstance(found, dict):
            raise errors.SpecError(
                f"The override `{key}` cannot be: `{'.'.join(above[: depth + 1])}` is {found!r},"
                " which has no keys.",
                remedy="Override that key itself.",
                key=key,
            )
        place = found
    place[last] = value


def _wrong(error: ValidationError) -> errors.SpecError:
    problems = [
        {"key": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
        for item in error.errors(include_url=False)
    ]
    told = "; ".join(f"`{item['key']}`: {item['message']}" for item in problems)
    return errors.SpecError(
        f"With the overrides the pilot is wrong: {told}.",
        remedy="`pilotage schema` prints every key and what it takes.",
        problems=problems,
    )
