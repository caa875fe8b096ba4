"""Synthetic rows that training may see beside the real ones."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from pilotage.core.specs.bases import Model

Share = Annotated[float, Field(gt=0, lt=1)]


class Synthesizer(StrEnum):
    """What makes synthetic rows."""

    COPULA = "copula"
    """A Gaussian copula of Pilotage's own."""
    SDV = "sdv"
    """The Synthetic Data Vault's, where it is installed."""


class Augment(Model):
    """Which synthetic rows are added to the training rows; they are nowhere else."""

    method: Synthesizer = Synthesizer.COPULA
    classes: dict[str, Share] = {}
    """Share of the training rows that each named class is brought up to."""
    balance: bool = False
    """Whether every class is brought up to the largest."""
    rows: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Rows of any kind, as the training rows have them."""

    @model_validator(mode="after")
    def _one_wish(self) -> Augment:
        if sum((bool(self.classes), self.balance, self.rows > 0)) != 1:
            raise ValueError(
                "`augment` says one of `classes: {CLASS: SHARE}`, `balance: true` and `rows` (1 or more)"
            )
        if sum(self.classes.values()) >= 1:
            total = sum(self.classes.values())
            raise ValueError(f"the shares in `augment.classes` add up to {total:g}, expected less than 1")
        return self
