"""The part of a reference that is of the same weekday or hour as a window, for pilots that ask for it.

Monday mornings are compared with Monday mornings. What training did not count by season,
and a window that holds every season, is compared with the whole reference. Seasons are
those of UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from pilotage.core.profiles import Profile, ReferenceProfile
from pilotage.core.specs import Season

_SECONDS = {Season.WEEKDAY: 86_400.0, Season.HOUR: 3600.0}
_CYCLE = {Season.WEEKDAY: 7, Season.HOUR: 24}


def seasonal(profile: ReferenceProfile, start: datetime, end: datetime) -> ReferenceProfile:
    """The reference for a window from `start` to `end`: its seasons' rows only.

    Where time blocks are as long as a season, only those of these seasons remain; else the
    reference has none, and its rows are taken as independent. Moments are of all seasons,
    so they are left out.
    """
    held = touched(profile.season, start, end)
    if not held:
        return profile
    blocks = _blocks(profile, held)

    def cut(part: Profile, *, blocked: bool) -> Profile:
        if not part.seasons:
            return part
        counts = np.array(part.seasons, dtype=np.int64)[sorted(held)].sum(axis=0)
        kept = tuple(part.blocks[place] for place in blocks if place < len(part.blocks)) if blocked else ()
        update = {"counts": tuple(counts.tolist()), "blocks": kept, "seasons": ()}
        return part.model_copy(update=update | ({"moments": None} if part.kind == "number" else {}))

    said = {"score": cut(profile.score, blocked=False)}
    if profile.prediction is not None:
        said["prediction"] = cut(profile.prediction, blocked=False)
    features = {name: cut(part, blocked=True) for name, part in profile.features.items()}
    return profile.model_copy(update={"features": features, **said})


def touched(season: Season, start: datetime, end: datetime) -> frozenset[int]:
    """Numbers of the seasons that a window lies in; none where that is all of them, or none are asked for."""
    if season is Season.NONE:
        return frozenset()
    length = timedelta(seconds=_SECONDS[season])
    first, last = (
        int(time.timestamp() // length.total_seconds()) for time in (start, end - timedelta.resolution)
    )
    if last - first + 1 >= _CYCLE[season]:
        return frozenset()
    return frozenset(_number(season, place) for place in range(first, last + 1))


def _number(season: Season, place: int) -> int:
    """The season of the day or hour `place` since 1970, which began on a Thursday at midnight."""
    return (place + 3) % 7 if season is Season.WEEKDAY else place % 24


def _blocks(profile: ReferenceProfile, held: frozenset[int]) -> list[int]:
    """Places of the features' blocks of the seasons `held`; none where blocks are of another length."""
    length = _SECONDS[profile.season]
    if profile.block_seconds != length or profile.first_at is None:
        return []
    first = int(profile.first_at.astimezone(UTC).timestamp() // length)
    blocks = max((len(part.blocks) for part in profile.features.values()), default=0)
    return [place for place in range(blocks) if _number(profile.season, first + place) in held]
