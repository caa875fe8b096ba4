"""How a snapshot differs from the one that trained the champion.

A schema skew stops the run: a column that the champion's features need is gone,
empty, or of another kind, and pilot.yaml does not say so. A value skew warns:
the population stability index of a feature, less what chance alone gives, is
above the pilot's `monitor.drift.min_effect`. Times move on by nature and are
not compared. Drift in served traffic is the monitor's business.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pilotage.components import snapshots
from pilotage.core import errors, features, profiles
from pilotage.core.artifacts import ColumnType, Feature, Skew, Snapshot
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind, PilotSpec

_CELLS_AT_ONCE = 1 << 24
_LEAST_EXPECTED = 5.0
"""Cells of the reference with fewer rows are merged into one."""
_BROKEN = ("has no value", "looks like an identifier")
"""Beginnings of the reasons for which a champion's feature may not drop out unnoticed."""
_NUMERIC = {ColumnType.INTEGER, ColumnType.NUMBER}
_TIMES = {ColumnType.DATE, ColumnType.DATETIME}


def schema_skew(spec: PilotSpec, champion: Snapshot, snapshot: Snapshot) -> tuple[Skew, ...]:
    """Differences in columns and kinds that would give the model other inputs than pilot.yaml intends."""
    found = [
        skew for feature in champion.features for skew in _feature_skew(spec, feature, champion, snapshot)
    ]
    old, new = champion.column(champion.target), snapshot.column(snapshot.target)
    if champion.target == snapshot.target and old and new and not _same(old.type, new.type):
        message = f"the target was {old.type.value}, now is {new.type.value}"
        found.append(Skew(column=snapshot.target, message=message))
    return tuple(found)


def _feature_skew(
    spec: PilotSpec, feature: Feature, champion: Snapshot, snapshot: Snapshot
) -> Iterator[Skew]:
    name = feature.name
    declared = spec.data.features
    if name in spec.data.exclude or name in (spec.data.target, spec.data.time, spec.data.key):
        return
    if declared is not None and declared.get(name) is not feature.kind:
        return
    old, new = champion.column(name), snapshot.column(name)
    if new is None:
        yield Skew(column=name, message=f"the column is gone; the champion uses it as a {feature.kind.value}")
        return
    now = next((item for item in snapshot.features if item.name == name), None)
    reason = next((item.reason for item in snapshot.excluded if item.name == name), "")
    if old is not None and new.distinct and not _same(old.type, new.type):
        yield Skew(column=name, message=f"the type was {old.type.value}, now is {new.type.value}")
    elif now is not None and now.kind is not feature.kind:
        yield Skew(column=name, message=f"the kind was {feature.kind.value}, now is {now.kind.value}")
    elif now is None and reason.startswith(_BROKEN):
        yield Skew(
            column=name, message=f"the column {reason}; the champion uses it as a {feature.kind.value}"
        )


def _same(old: ColumnType, new: ColumnType) -> bool:
    return old is new or {old, new} <= _NUMERIC or {old, new} <= _TIMES


def value_skew(
    spec: PilotSpec, champion: Snapshot, snapshot: Snapshot, settings: Settings
) -> tuple[Skew, ...]:
    """Features whose distribution moved by more than the pilot's smallest effect that matters, largest first.

    Raises:
        NotFound: the champion's snapshot is gone from the storage.
    """
    old_features = {feature.name: feature for feature in champion.features}
    shared = [
        feature
        for feature in snapshot.features
        if feature == old_features.get(feature.name) and feature.kind is not FeatureKind.TIME
    ]
    floor = spec.monitor.drift.min_effect
    found = [skew for skew in _compare(shared, champion, snapshot, settings) if (skew.effect or 0.0) > floor]
    found.sort(key=lambda skew: -(skew.effect or 0.0))
    kept = {feature.name for feature in snapshot.features}
    new = [feature.name for feature in snapshot.features if feature.name not in old_features]
    changed = [Skew(column=name, message="is a new feature") for name in new]
    changed += [
        Skew(column=name, message="is no feature any more") for name in old_features if name not in kept
    ]
    if champion.classes and snapshot.classes and set(champion.classes) != set(snapshot.classes):
        changed.append(_classes(champion, snapshot))
    return tuple(found + changed)


def _classes(champion: Snapshot, snapshot: Snapshot) -> Skew:
    new = [str(value) for value in snapshot.classes if value not in champion.classes]
    gone = [str(value) for value in champion.classes if value not in snapshot.classes]
    told = (("new", new), ("gone", gone))
    parts = [f"{word} classes: {', '.join(values[:10])}" for word, values in told if values]
    return Skew(column=snapshot.target, message="; ".join(parts))


def _compare(
    shared: list[Feature], champion: Snapshot, snapshot: Snapshot, settings: Settings
) -> Iterator[Skew]:
    at_once = max(1, _CELLS_AT_ONCE // max(champion.rows, snapshot.rows))
    for begin in range(0, len(shared), at_once):
        part = shared[begin : begin + at_once]
        names = [feature.name for feature in part]
        old = features.from_table(part, snapshots.read_table(settings, champion, names))
        new = features.from_table(part, snapshots.read_table(settings, snapshot, names))
        for feature in part:
            profile = profiles.profile_column(feature, old[feature.name])
            before = np.array(profile.counts, dtype=np.int64)
            now = profile.count(profiles.as_profiled(feature, new[feature.name]))
            effect = stability_index(before, now)
            yield Skew(
                column=feature.name,
                message=f"its values are spread differently (population stability index {effect:.3f})",
                effect=effect,
            )


def stability_index(before: npt.NDArray[np.int64], now: npt.NDArray[np.int64]) -> float:
    """Population stability index of two vectors of counts, less its expectation under no change, at least 0.

    PSI is the sum of (p - q) ln(p / q) over cells; with k cells of n and m rows, chance alone gives about
    (k - 1)(1/n + 1/m) (Yurdakul, 2018). Cells with few reference rows are merged, and half
    a row is added to each.
    """
    few = before < _LEAST_EXPECTED
    cells = [before[~few], now[~few]]
    if before[few].sum() + now[few].sum():
        cells = [np.append(kept, whole[few].sum()) for kept, whole in zip(cells, (before, now), strict=True)]
    n, m = int(before.sum()), int(now.sum())
    if not n or not m:
        return 0.0
    p, q = ((kept + 0.5) / (kept.sum() + 0.5 * kept.size) for kept in cells)
    index = float(((p - q) * np.log(p / q)).sum())
    return round(max(0.0, index - (cells[0].size - 1) * (1 / n + 1 / m)), 6)


def readable(champion: Snapshot, settings: Settings) -> bool:
    """Whether the champion's rows are still there to compare with."""
    try:
        snapshots.folder(settings, champion)
    except errors.NotFound:
        return False
    return True
