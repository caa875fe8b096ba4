"""What a piece of work used of a machine, and the energy that took."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from pilotage.core.artifacts.bases import Artifact, Part


class Basis(StrEnum):
    """How an amount of energy is known."""

    MEASURED = "measured"
    """By counters of the hardware."""
    ESTIMATED = "estimated"
    """From CPU time and what such hardware draws."""


class Energy(Part):
    """Energy, and what making it gave off."""

    kwh: float
    co2_kg: float | None
    """Null where no country and no intensity is set."""
    basis: Basis
    by: str
    """What it was measured by or estimated from, in words."""


class Usage(Artifact):
    """What a piece of work used of a machine."""

    FILE = "usage.json"
    kind: Literal["usage"] = "usage"
    schema_version: Literal[1] = 1
    wall_seconds: Annotated[float, Field(ge=0)]
    cpu_seconds: Annotated[float, Field(ge=0)]
    """Of its process and of the children that ended before it did."""
    gpu_seconds: Annotated[float, Field(ge=0)] = 0.0
    """GPUs that were held, times how long."""
    gpu: str = ""
    """Type of these GPUs; empty where there were none, or it is not known."""
    peak_memory_bytes: Annotated[int, Field(ge=0)] = 0
    processor: str = ""
    """Model of the CPU."""
    processors: Annotated[int, Field(ge=0)] = 0
    """Logical CPUs that the machine shows."""
    joules: float | None = None
    """Measured share of the machine's energy; null where it cannot be measured."""

    @property
    def memory_gb_seconds(self) -> float:
        """The most memory, for as long as it took; an upper bound."""
        return self.peak_memory_bytes / 1e9 * self.wall_seconds
