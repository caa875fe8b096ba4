"""Puts what pilot.yaml says in the place of personal data, value by value.

Ingest, the model server and batch scoring use the same object, so a value is replaced alike
everywhere. `drop` of a whole column and `refuse` are left to who has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import numpy as np

from pilotage.core import errors
from pilotage.core.features import Array, Columns, category_text
from pilotage.core.personal import keys, patterns
from pilotage.core.settings import Settings
from pilotage.core.specs import Data
from pilotage.core.specs.protections import Personal, PersonalKind, Policy

MASK = "***"
"""Stands for a whole masked value."""
_REPLACING = (Policy.MASK, Policy.HASH, Policy.DROP)
_REMEMBERED = 65_536


class Replacer:
    """Replaces values by the rules of one pilot."""

    def __init__(self, personal: Personal, key: bytes) -> None:
        self.personal = personal
        self._key = key
        self._kinds: Mapping[PersonalKind, Policy] = {
            kind: policy for kind in personal.kinds if (policy := personal.kind(kind)) in _REPLACING
        }
        self._remembered = lru_cache(_REMEMBERED)(self._parts)

    @classmethod
    def of(cls, personal: Personal | None, settings: Settings, mark: str | None = None) -> Replacer | None:
        """One for a pilot's rules; None where it has none.

        Raises:
            SettingsError: it hashes and the installation has no (good) secret, or not the one of `mark`.
        """
        if personal is None or not (personal.columns or personal.kinds):
            return None
        key = keys.secret(settings) if personal.hashes else b""
        if mark is not None and personal.hashes and keys.mark(key) != mark:
            raise errors.SettingsError(
                f"{keys.VARIABLE} is not the secret that the model's training data was hashed with.",
                remedy="Set the secret of then, or train again with this one.",
            )
        return cls(personal, key)

    @property
    def mark(self) -> str | None:
        """What tells its secret from others; None without one."""
        return keys.mark(self._key) if self.personal.hashes else None

    @property
    def looks_into(self) -> bool:
        """Whether columns without a rule of their own have to be looked into."""
        return bool(self._kinds)

    def changes(self, column: str) -> bool:
        """Whether values of `column` may be replaced."""
        policy = self.personal.column(column)
        return policy in (Policy.MASK, Policy.HASH) if policy is not None else self.looks_into

    def text(self, column: str, value: str | None) -> str | None:
        """What stands in the place of one value of `column`."""
        if value is None:
            return None
        policy = self.personal.column(column)
        if policy is Policy.HASH:
            return keys.digest(self._key, value)
        if policy is Policy.MASK:
            return MASK
        return self._remembered(value) if policy is None and self._kinds else value

    def _parts(self, value: str) -> str | None:
        """`value` with the personal data found in it replaced; None where some of it is to be dropped."""
        found, end = [], 0
        for hit in patterns.find(value):
            policy = self._kinds.get(hit.kind)
            if policy is None or (hit.weak and hit.kind is PersonalKind.NATIONAL_ID):
                continue
            if policy is Policy.DROP:
                return None
            part = value[hit.start : hit.end]
            shown = f"<{hit.kind}>" if policy is Policy.MASK else keys.digest(self._key, part)
            found += [value[end : hit.start], shown]
            end = hit.end
        return "".join([*found, value[end:]]) if found else value

    def columns(self, columns: Columns) -> Columns:
        """Feature columns as a model takes them, those of text replaced; the others are the same arrays."""
        return {
            name: self._column(name, values) if values.dtype == object and self.changes(name) else values
            for name, values in columns.items()
        }

    def _column(self, name: str, values: Array) -> Array:
        found = np.empty(len(values), dtype=object)
        for place, value in enumerate(values.tolist()):
            found[place] = self.text(name, category_text(value))
        return found

    @classmethod
    def of_ids(cls, data: Data, settings: Settings) -> Callable[[str], str]:
        """What the ids of a pilot's rows are kept as.

        Raises:
            SettingsError: see `of`.
        """
        replacer = cls.of(data.personal, settings)
        if replacer is None:
            return str
        name = data.key or ""
        return lambda value: replacer.text(name, value) or MASK

    def ids(self, key: str | None, values: Iterable[str | None]) -> list[str | None]:
        """Ids as the key column `key` holds them; without one, as values of no column."""
        name = key if key is not None else ""
        return [self.text(name, value) for value in values]
