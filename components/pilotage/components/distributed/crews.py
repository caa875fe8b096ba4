"""The team of one training, with all that the step shares out to it.

What is shared is a search's folds, the fit and the reference profile's counts; the rest, such as the
predictions of held-out rows, stays in the step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.datasets import Dataset
from pilotage.components.distributed import fits, profiles, searches, teams
from pilotage.components.distributed.fits import Job
from pilotage.components.distributed.shards import Rows
from pilotage.components.distributed.teams import Team
from pilotage.components.training.searches import Found
from pilotage.core.artifacts import Scalar, Snapshot
from pilotage.core.profiles import Profile
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec, Search, Season

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crew:
    """A team, and what it works on."""

    team: Team
    job: Job

    @property
    def restarts(self) -> int:
        """How often workers that were lost were replaced."""
        return self.team.restarts

    def search(self, wanted: Search, rows: Dataset, positive: Scalar | None) -> Found:
        """See `searches.search`."""
        return searches.search(self.team, self.job, wanted, rows, positive)

    def fit(self, params: Mapping[str, Any], rows: Dataset) -> Any:
        """See `fits.fit`."""
        return fits.fit(self.team, self.job, params, rows)

    def profiles(self, season: Season) -> dict[str, Profile]:
        """See `profiles.count`."""
        return profiles.count(self.team, self.job.rows, season)


@contextmanager
def formed(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    snapshot: Snapshot,
    positions: npt.NDArray[np.int64],
    run: str,
) -> Iterator[Crew]:
    """Those who share training on the rows of `snapshot` at `positions`. Raises as `teams.formed`."""
    job = Job(spec, folder, Rows.of(settings, snapshot, positions), run)
    with teams.formed(settings, spec.train.resources) as team:
        yield Crew(team, job)
        if team.restarts:
            logger.warning("workers that were lost were replaced %d times", team.restarts)
