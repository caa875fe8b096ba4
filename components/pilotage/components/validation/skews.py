"""How a snapshot differs from the one that trained the champion.

A schema skew stops the run: a column that the champion's features need is gone,
empty, or of another kind, and pilot.yaml does not say so. A value skew warns:
the population stability index of a feature is above the pilot's
`monitor.drift.min_effect` and above what chance alone gives; so does the
target's. Times move on by nature and are not compared. Drift in served traffic
is the monitor's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components import snapshots
from pilotage.components.validation import stabilities
from pilotage.core import errors, features, profiles
from pilotage.core.artifacts import ColumnType, Feature, Finding, FindingKind, Severity, Skew, Snapshot
from pilotage.core.metrics import Task
from pilotage.core.settings import Settings
from pilotage.core.specs import EMBEDDED, FeatureKind, PilotSpec

_CELLS_AT_ONCE = 1 << 24
_BROKEN = ("has no value", "looks like an identifier")
"""Beginnings of the reasons for which a champion's feature may not drop out unnoticed."""
_MUCH = 0.1
"""A change in the share of missing values that is told before all else."""
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
    """Features that moved by more than the pilot's smallest effect that matters and chance, largest first.

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
    found = list(_compare(shared, champion, snapshot, settings, floor))
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


def target_shift(
    spec: PilotSpec, champion: Snapshot, snapshot: Snapshot, settings: Settings
) -> tuple[Finding, ...]:
    """Whether the target is spread differently, judged as a feature's values are.

    Raises:
        NotFound: the champion's snapshot is gone from the storage.
    """
    old, new = champion.column(champion.target), snapshot.column(snapshot.target)
    if champion.target != snapshot.target or not (old and new and _same(old.type, new.type)):
        return ()
    kind = FeatureKind.NUMBER if snapshot.task is Task.REGRESSION else FeatureKind.CATEGORY
    target = Feature(name=snapshot.target, kind=kind)
    return tuple(
        Finding(
            kind=FindingKind.TARGET_SHIFT,
            column=skew.column,
            message=skew.message,
            value=skew.effect,
            severity=Severity.WARNING,
        )
        for skew in _compare([target], champion, snapshot, settings, spec.monitor.drift.min_effect)
    )


def _compare(
    shared: list[Feature], champion: Snapshot, snapshot: Snapshot, settings: Settings, floor: float
) -> Iterator[Skew]:
    """The columns that moved by more than `floor` and chance."""
    at_once = max(1, _CELLS_AT_ONCE // max(champion.rows, snapshot.rows))
    for begin in range(0, len(shared), at_once):
        part = shared[begin : begin + at_once]
        names = [feature.name for feature in part]
        old = features.from_table(part, snapshots.read_table(settings, champion, names))
        new = features.from_table(part, snapshots.read_table(settings, snapshot, names))
        for feature in part:
            before, now = old[feature.name], new[feature.name]
            profile = profiles.profile_column(feature, before)
            counts = profile.count(profiles.as_profiled(feature, now))
            moved = stabilities.movement(np.array(profile.counts, dtype=np.int64), counts, floor, len(shared))
            if moved is not None:
                yield Skew(
                    column=feature.name,
                    message=f"{_told(feature, before, now)} (population stability index"
                    f" {moved.effect:.3f}; chance alone stays below {moved.chance:.3f})",
                    effect=moved.effect,
                    chance=moved.chance,
                )


def _told(feature: Feature, before: npt.NDArray[Any], now: npt.NDArray[Any]) -> str:
    """What changed most, in words."""
    if feature.kind in EMBEDDED:
        before, now = profiles.as_profiled(feature, before), profiles.as_profiled(feature, now)
    gone, lacks = _missing(before), _missing(now)
    if gone.all():
        return f"it was missing in every row, now is in {lacks.mean():.1%}"
    if abs(lacks.mean() - gone.mean()) > _MUCH:
        return f"it was missing in {gone.mean():.1%} of the rows, now is in {lacks.mean():.1%}"
    if lacks.all():
        return "its values are spread differently"
    if feature.kind is FeatureKind.BOOLEAN:
        return f"of the rows that have it, {np.nanmean(before):.1%} were true, now {np.nanmean(now):.1%} are"
    if profiles.numeric(feature.kind):
        old, new = np.median(before[~gone]), np.median(now[~lacks])
        was = f"always {old:.4g}" if np.ptp(before[~gone]) == 0 else f"{old:.4g}"
        return f"its values are spread differently: the median was {was}, now is {new:.4g}"
    shares = [Counter(values.tolist()) for values in (before, now)]
    moved = {
        value: shares[1][value] / now.size - shares[0][value] / before.size for value in shares[0] | shares[1]
    }
    name = max(moved, key=lambda value: (round(abs(moved[value]), 9), str(value)))
    told = "missing" if name is None else f"{name!s:.40}"
    old, new = (shares[0][name] / before.size, shares[1][name] / now.size)
    return f"its values are spread differently: {told} was {old:.1%}, now is {new:.1%}"


def _missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype == object:
        return np.array([value is None for value in values.tolist()])
    found: npt.NDArray[np.bool_] = np.isnan(values)
    return found


def readable(champion: Snapshot, settings: Settings) -> bool:
    """Whether the champion's rows are still there to compare with."""
    try:
        snapshots.folder(settings, champion)
    except errors.NotFound:
        return False
    return True
