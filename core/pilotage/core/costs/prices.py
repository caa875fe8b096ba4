"""The table of prices that an installation is charged by, as PILOTAGE_PRICES says it.

There are no prices by default: without a table, costs are told in hours and never invented.
A price is applied when it is asked for, so that a corrected table corrects all that was.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from pilotage.core import errors
from pilotage.core.artifacts import Energy, Usage
from pilotage.core.artifacts.bases import Part
from pilotage.core.settings import Settings

_HOUR = 3600.0
ANY = "*"
"""Stands for every GPU that has no price of its own."""

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Prices(Part):
    """What is paid for what; what has no price costs nothing, and is told of as not priced."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    cpu_hour: Amount | None = None
    gpu_hour: dict[str, Amount] = {}
    """By type of GPU; `*` stands for any other. One number stands for all."""
    memory_gb_hour: Amount | None = None
    storage_gb_month: Amount | None = None
    kwh: Amount | None = None
    """Only where energy is paid for beside the hours."""
    watts_per_cpu: Annotated[float, Field(gt=0)] | None = None
    """What one busy logical CPU draws, in place of what codecarbon knows of the processor."""
    gpu_watts: dict[str, Amount] = {}
    """What one GPU that is held draws, by type as in `gpu_hour`."""
    carbon_kg_per_kwh: Amount | None = None
    """In place of the country's."""

    @field_validator("gpu_hour", "gpu_watts", mode="before")
    @classmethod
    def _for_any(cls, value: object) -> object:
        return {ANY: value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    def of_gpu(self, gpu: str) -> float | None:
        """Price of an hour of a GPU."""
        return self.gpu_hour.get(gpu, self.gpu_hour.get(ANY))


class Cost(Part):
    """What something costs."""

    currency: str
    total: float
    cpu: float = 0.0
    gpu: float = 0.0
    memory: float = 0.0
    energy: float = 0.0
    unpriced: tuple[str, ...] = ()
    """What was used and has no price, such as `gpu`."""

    def __add__(self, other: Cost) -> Cost:
        """Both together, in one currency."""
        return Cost(
            currency=self.currency,
            total=self.total + other.total,
            cpu=self.cpu + other.cpu,
            gpu=self.gpu + other.gpu,
            memory=self.memory + other.memory,
            energy=self.energy + other.energy,
            unpriced=tuple(sorted({*self.unpriced, *other.unpriced})),
        )


def load(settings: Settings) -> Prices | None:
    """The table of an installation; None where it has none.

    Raises:
        SettingsError: it cannot be read, or is none.
    """
    return _parse(settings.prices) if settings.prices else None


@lru_cache(maxsize=8)
def _parse(text: str) -> Prices:
    source, content = "PILOTAGE_PRICES", text
    if not text.lstrip().startswith("{"):
        source = f"{text}, which PILOTAGE_PRICES names,"
        try:
            content = Path(text).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise errors.SettingsError(
                f"{source} cannot be read: {error}.",
                remedy='Name a file, or write the table itself: {"currency": "EUR", "cpu_hour": 0.05}.',
            ) from error
    try:
        return Prices.model_validate_json(content)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, part['loc'])) or 'it'}: {part['msg']}" for part in error.errors()
        )
        names = ", ".join(Prices.model_fields)
        raise errors.SettingsError(
            f"{source} is no table of prices: {wrong}.", remedy=f"It is a JSON object with {names}."
        ) from error


def price(prices: Prices, usage: Usage, energy: Energy | None) -> Cost:
    """What `usage` costs."""
    hours = usage.cpu_seconds / _HOUR
    gpu_hour = prices.of_gpu(usage.gpu)
    parts = {
        "cpu": (hours, prices.cpu_hour),
        "gpu": (usage.gpu_seconds / _HOUR, gpu_hour),
        "memory": (usage.memory_gb_seconds / _HOUR, prices.memory_gb_hour),
        "energy": (energy.kwh if energy and prices.kwh is not None else 0.0, prices.kwh),
    }
    amounts = {name: used * paid for name, (used, paid) in parts.items() if paid is not None}
    missing = tuple(name for name, (used, paid) in parts.items() if used > 0 and paid is None)
    return Cost(currency=prices.currency, total=sum(amounts.values()), unpriced=missing, **amounts)
