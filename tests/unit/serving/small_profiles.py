"""Counts by a reference profile, column by column: what windows are held against."""

from __future__ import annotations

from collections.abc import Mapping

from pilotage.core import profiles
from pilotage.core.artifacts import Feature
from pilotage.core.features import Columns
from pilotage.core.profiles import Counts, ReferenceProfile


def count_columns(
    profile: ReferenceProfile, features: Mapping[str, Feature], columns: Columns
) -> dict[str, Counts]:
    """Counts of each profiled feature of `columns` by cell."""
    return {
        name: part.count(profiles.as_profiled(features[name], columns[name]))
        for name, part in profile.features.items()
    }
