"""What operations work on: one installation's settings and its database, connected once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Engine

from pilotage.console.operations.chains import Watch
from pilotage.console.operations.glances import Glances
from pilotage.console.operations.scorecards import Scorecards
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.pipelines import tables


@dataclass(frozen=True)
class Desk:
    """One installation."""

    settings: Settings

    @cached_property
    def engine(self) -> Engine:
        """Its database."""
        return tables.connect(self.settings)

    @cached_property
    def registry(self) -> Registry:
        """Its models."""
        return Registry(self.settings)

    @cached_property
    def watch(self) -> Watch:
        """Looks whether its audit is whole."""
        return Watch(self.engine)

    @cached_property
    def glances(self) -> Glances:
        """What git said of it a moment ago."""
        return Glances()

    @cached_property
    def scorecards(self) -> Scorecards:
        """What its versions were judged by."""
        return Scorecards(self.registry)
