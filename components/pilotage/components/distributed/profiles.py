"""The reference profile's counts made by a team, a feature each.

A worker reads one column of the training rows and counts it as one process would, so that the profile is the
same to the last count. What is counted is `training.references`' choice.
"""

from __future__ import annotations

from functools import lru_cache

from pilotage.components.distributed.shards import Rows
from pilotage.components.distributed.teams import Team
from pilotage.components.training.references import Times
from pilotage.core.profiles import Profile
from pilotage.core.specs import Season


def count(team: Team, rows: Rows, season: Season) -> dict[str, Profile]:
    """Profiles of all features of `rows`, by name. Raises as `Team.each`."""
    names = [feature.name for feature in rows.snapshot.features]
    shared = team.share(rows)
    found = dict(team.each(_profile, ((shared, name, season) for name in names)))
    return {name: found[place] for place, name in enumerate(names)}


def _profile(rows: Rows, name: str, season: Season) -> Profile:
    """In a worker: the profile of one feature."""
    feature = next(feature for feature in rows.snapshot.features if feature.name == name)
    return _times(rows, season).profile(feature, rows.opened().columns[name])


@lru_cache(maxsize=1)
def _times(rows: Rows, season: Season) -> Times:
    return Times.of(rows.opened().times, season)
