"""What judging a version's windows takes, read from the registry once a round.

A version whose files are gone cannot be judged, and is left out with a warning; what
else is missing only narrows what can be said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pilotage.core import errors
from pilotage.core.artifacts import Model, Report, Scorecard, Skew
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registered, Registry
from pilotage.core.specs import FeatureKind
from pilotage.serving.monitor.drift import comparisons

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """One version that is watched."""

    registered: Registered
    model: Model
    profile: ReferenceProfile
    profile_digest: str
    reference: pa.Table | None
    """Held-out rows with what came true, as `pilotage.core.samples` lays them out."""
    folder: Path
    """The local folder of its files."""
    scorecard: Scorecard | None
    value_skew: tuple[Skew, ...]

    @property
    def seed(self) -> int:
        """Of everything that draws, so that the same rows give the same report."""
        return int(self.profile_digest[:8], 16)

    @cached_property
    def times(self) -> frozenset[str]:
        """Names of the features whose numbers are seconds since 1970."""
        return frozenset(feature.name for feature in self.model.features if feature.kind is FeatureKind.TIME)

    def least_rows(self, length: timedelta) -> int:
        """Rows from which a slice that was served in part is judged: half of a usual block, or window.

        With less it may be one evening, which differs from a day by its hours alone.
        """
        seconds = self.profile.block_seconds
        blocks = max((len(part.blocks) for part in self.profile.features.values()), default=0)
        if not seconds or not blocks:
            return comparisons.LEAST_ROWS
        usual = self.profile.rows / blocks * min(1.0, length.total_seconds() / seconds)
        return max(comparisons.LEAST_ROWS, int(usual / 2))


def load(registry: Registry, pilot: str, number: int) -> Subject | None:
    """Version `number` of a pilot; None when it is gone."""
    try:
        registered = registry.version(pilot, number)
        folder, profile = registry.folder(registered), registry.profile(registered)
        model, reference = registry.model(registered), registry.reference(registered)
    except (errors.NotFound, errors.DataError) as error:
        logger.warning("windows of version %s of %s are not judged: %s", number, pilot, error)
        return None
    return Subject(
        registered=registered,
        model=model,
        profile=profile,
        profile_digest=profile.content_digest,
        reference=reference,
        folder=folder,
        scorecard=_scorecard(registry, registered),
        value_skew=_value_skew(registry, registered),
    )


def _scorecard(registry: Registry, registered: Registered) -> Scorecard | None:
    try:
        return registry.scorecard(registered)
    except (errors.NotFound, errors.DataError):
        logger.warning("version %s has no scorecard; performance is not judged", registered.version)
        return None


def _value_skew(registry: Registry, registered: Registered) -> tuple[Skew, ...]:
    """What validation warned of when the version was trained, where its run keeps the report."""
    try:
        return Report.read(registry.run_file(registered.run, Report.FILE)).value_skew
    except (errors.NotFound, errors.DataError):
        return ()
