"""What happens to personal data before anything of it is stored.

A rule for a column is about all of its values; a rule for a kind is about what is found of that
kind in any other column. What the kinds look like is `pilotage.core.personal`'s business.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Discriminator, Field, Tag, model_validator

from pilotage.core.specs.bases import Column, Model


class PersonalKind(StrEnum):
    """Personal data that can be recognised."""

    EMAIL = "email"
    PHONE = "phone"
    IBAN = "iban"
    CREDIT_CARD = "credit_card"
    IP_ADDRESS = "ip_address"
    NATIONAL_ID = "national_id"
    PERSON_NAME = "person_name"
    """Told by a column's name only; so are the next two."""
    ADDRESS = "address"
    BIRTH_DATE = "birth_date"


NAMED_ONLY = frozenset({PersonalKind.PERSON_NAME, PersonalKind.ADDRESS, PersonalKind.BIRTH_DATE})
"""Kinds that values do not show."""


class Policy(StrEnum):
    """What may be done about personal data."""

    MASK = "mask"
    """Replaced by a word that says what was there."""
    HASH = "hash"
    """Replaced by a keyed hash: the same person stays the same, so joins work."""
    DROP = "drop"
    """The column, or of a kind the value, is left out."""
    KEEP = "keep"
    """Stored as it is; needs a reason."""
    REFUSE = "refuse"
    """Ingest fails."""


class Reasoned(Model):
    """A policy and why."""

    policy: Policy
    reason: Annotated[str, Field(max_length=1000)] = ""


def _form(value: object) -> str:
    return "reasoned" if isinstance(value, dict | Reasoned) else "plain"


Rule = Annotated[Annotated[Policy, Tag("plain")] | Annotated[Reasoned, Tag("reasoned")], Discriminator(_form)]


class Personal(Model):
    """What is done about personal data, by column and by kind."""

    columns: dict[Column, Rule] = {}
    """About every value of the column."""
    kinds: dict[PersonalKind, Rule] = {}
    """About what is found of a kind in columns that `columns` does not name."""

    @model_validator(mode="after")
    def _sound(self) -> Personal:
        named = [(f"columns.{name}", rule) for name, rule in self.columns.items()]
        named += [(f"kinds.{kind}", rule) for kind, rule in self.kinds.items()]
        for place, rule in named:
            if policy_of(rule) is Policy.KEEP and not reason_of(rule).strip():
                raise ValueError(
                    f"`{place}` keeps personal data, which needs a reason: "
                    "write `{policy: keep, reason: …}`"
                )
        for kind in self.kinds:
            if kind in NAMED_ONLY:
                raise ValueError(f"`kinds.{kind}` cannot be told from values; name the column in `columns`")
        return self

    def column(self, name: str) -> Policy | None:
        """What is done with column `name`, if it is said."""
        rule = self.columns.get(name)
        return None if rule is None else policy_of(rule)

    def kind(self, kind: PersonalKind) -> Policy | None:
        """What is done with values of `kind`, if it is said."""
        rule = self.kinds.get(kind)
        return None if rule is None else policy_of(rule)

    @property
    def hashes(self) -> bool:
        """Whether anything is hashed, which takes a secret."""
        return any(policy_of(rule) is Policy.HASH for rule in (*self.columns.values(), *self.kinds.values()))


def policy_of(rule: Policy | Reasoned) -> Policy:
    """The policy of a rule in either form."""
    return rule.policy if isinstance(rule, Reasoned) else rule


def reason_of(rule: Policy | Reasoned) -> str:
    """The reason of a rule; empty where none is given."""
    return rule.reason if isinstance(rule, Reasoned) else ""
