"""What one serving process needs to know, in a form that can be handed to another process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pilotage.core import pilots
from pilotage.core.pilots import Pilot
from pilotage.core.settings import Settings
from pilotage.serving.limits import Limits

BOARD = "connections"
"""The board's file in the folder that processes share."""


class Place(BaseModel):
    """Where a process stands among those that share a port."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    """For what the processes share while they run: the board of connections, and metrics."""
    number: int
    """Its place on the board."""
    places: int
    """Places on the board."""
    name: str
    """Its name in the shared metrics; no process had it before."""
    workers: int
    """How many processes share the port."""


class Plan(BaseModel):
    """What is served, and how."""

    model_config = ConfigDict(frozen=True)

    specs: tuple[str, ...]
    """Each pilot's spec as JSON: a process that is started later serves the same, whatever the file says."""
    files: tuple[Path, ...]
    """Each pilot's pilot.yaml."""
    settings: Settings
    limits: Limits
    versions: dict[str, tuple[int, ...]] = {}
    """Versions that are served besides the champion, by pilot."""
    pins: dict[str, int] = {}
    """Versions that serve in the champion's place, by pilot, whatever is promoted."""
    host: str
    grpc_port: int | None = None
    """0 for any that is free; no gRPC when None."""
    place: Place | None = None
    """None for the only process."""
    logging: dict[str, Any] | None = None
    """Configuration of logging as `logging.config.dictConfig` takes it; left alone when None."""

    @classmethod
    def of(
        cls,
        given: Sequence[Pilot],
        settings: Settings,
        limits: Limits,
        *,
        host: str,
        versions: dict[str, tuple[int, ...]],
        grpc_port: int | None,
        pins: dict[str, int] | None = None,
    ) -> Plan:
        """The plan of the only process."""
        return cls(
            specs=tuple(pilot.spec.model_dump_json(exclude_unset=True) for pilot in given),
            files=tuple(pilot.file for pilot in given),
            settings=settings,
            limits=limits,
            versions=versions,
            pins=pins or {},
            host=host,
            grpc_port=grpc_port,
        )

    @property
    def pilots(self) -> tuple[Pilot, ...]:
        """What is served."""
        pairs = zip(self.specs, self.files, strict=True)
        return tuple(Pilot(pilots.from_json(spec), file) for spec, file in pairs)
