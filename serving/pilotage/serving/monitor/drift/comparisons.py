"""One window against the reference: what differs, by how much, and whether it counts as drift.

Drift takes both: a p-value below the calibrated threshold, and an effect that is
large enough to matter. How the threshold comes about is in `calibrations`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from pilotage.core.artifacts import DriftReport, FeatureDrift
from pilotage.core.specs import Drift
from pilotage.core.windows import Window
from pilotage.serving.monitor.drift import calibrations, effects
from pilotage.serving.monitor.drift.calibrations import Calibration
from pilotage.serving.monitor.drift.columns import MOST_COARSE, Column, Counts, Difference, Role, differences
from pilotage.serving.monitor.drift.effects import Effect
from pilotage.serving.records import sketches

LEAST_ROWS = 30
"""Rows from which a window is judged."""
LEAST_UNSEEN_ROWS = 3
"""Rows with unseen values from which these can be drift."""
KS_OF_PSI = 0.5
"""Kolmogorov-Smirnov distance, and change of the missing rate, that matter as much as a PSI of 1."""
UNSEEN_OF_PSI = 0.05
"""Share of unseen values that matters as much as a PSI of 1."""


ROWS = "rows"
"""Key of all features together, among those of `drifted_keys`."""
_OTHER, _MISSING = "any other", "missing"
_OPTIONAL = frozenset({_OTHER, _MISSING})
"""Cells of a picture that are left out when neither side has any."""


@dataclass(frozen=True)
class Comparison:
    """What a window's columns say."""

    features: tuple[FeatureDrift, ...]
    score: FeatureDrift | None
    prediction: FeatureDrift | None = None
    """Of the predicted classes, where they are judged; see `columns_of`."""

    @property
    def drifted(self) -> list[FeatureDrift]:
        """What drifted, what matters most first; what the model says as columns of their own."""
        parts = (*self.features, self.prediction, self.score)
        return sorted((part for part in parts if part and part.drifted), key=weight, reverse=True)

    def persisting(self, before: Sequence[Set[str]]) -> Comparison:
        """The same with those columns marked that have drifted in each of the windows `before` too.

        Args:
            before: `drifted_keys` of each earlier window that counts.
        """

        def marked(part: FeatureDrift | None, key: str) -> FeatureDrift | None:
            if part is None or not part.drifted or not all(key in keys for keys in before):
                return part
            return part.model_copy(update={"persistent": True})

        return Comparison(
            features=tuple(
                part for item in self.features if (part := marked(item, f"feature {item.feature}"))
            ),
            score=marked(self.score, Role.SCORE),
            prediction=marked(self.prediction, Role.PREDICTION),
        )


def drifted_keys(report: DriftReport) -> set[str]:
    """What drifted in a stored report, as `Comparison.persisting` compares it."""
    said = ((Role.SCORE, report.score), (Role.PREDICTION, report.prediction))
    keys = {f"feature {part.feature}" for part in report.features if part.drifted}
    keys |= {role.value for role, part in said if part is not None and part.drifted}
    return keys | ({ROWS} if report.rows_drifted else set())


def weight(part: FeatureDrift) -> float:
    """Orders columns by how much their difference matters: `severity`, times what the model rests on them.

    What the model says matters in full, as does a feature whose importance is not known.
    """
    return severity(part) * (1.0 if part.importance is None else part.importance)


def severity(part: FeatureDrift) -> float:
    """Orders columns by how much they differ."""
    missing = abs(part.missing_rate - part.reference_missing_rate) / KS_OF_PSI
    return max(part.psi, part.distance / KS_OF_PSI, missing, part.unseen_rate / UNSEEN_OF_PSI)


def compare(
    columns: list[Column],
    window: Window,
    calibration: Calibration,
    drift: Drift,
    times: Set[str] = frozenset(),
    *,
    least_rows: int = LEAST_ROWS,
) -> Comparison:
    """`window` against the reference's `columns`.

    Args:
        columns: as `columns_of` gives them.
        window: merged over replicas.
        calibration: for windows of about this size.
        drift: the pilot's limits.
        times: names of features whose numbers are seconds since 1970.
        least_rows: a window with fewer is measured and not judged.
    """
    counts = [_counts(column, window) for column in columns]
    judged = window.rows >= least_rows and any(part is not None for part in counts)
    means = [_mean(column, window) for column in columns]
    held = [
        part if part is not None else np.zeros(len(column.counts), np.int64)
        for column, part in zip(columns, counts, strict=True)
    ]
    found = compare_counts(columns, held, calibration, drift, times, judged=judged, means=means)
    parts = [
        None if part is None else _beyond(verdict, window, times) if column.role is Role.FEATURE else verdict
        for column, part, verdict in zip(columns, counts, found, strict=True)
    ]
    by_role = {column.role: part for column, part in zip(columns, parts, strict=True)}
    return Comparison(
        features=tuple(
            part
            for column, part in zip(columns, parts, strict=True)
            if part is not None and column.role is Role.FEATURE
        ),
        score=by_role[Role.SCORE],
        prediction=by_role.get(Role.PREDICTION),
    )


def _beyond(part: FeatureDrift, window: Window, times: Set[str]) -> FeatureDrift:
    """What drifted, with what the window's sketches know of values that no cell tells apart."""
    if not part.drifted:
        return part
    told = [part.reason]
    if outside := window.outside.get(part.feature):
        found = sketches.quantiles(outside, [0.25, 0.75])
        show = _date if part.feature in times else _number
        low, high = (show(value) for value in found.values)
        told.append(
            f"{found.size:,} values lie outside of training's range, half of them from {low} to {high}"
        )
    if others := window.distinct.get(part.feature):
        told.append(f"about {sketches.distinct(others).estimate:,.0f} different values are rare or new")
    return part.model_copy(update={"reason": "; ".join(told)})


def compare_counts(
    columns: Sequence[Column],
    counts: Sequence[Counts],
    calibration: Calibration,
    drift: Drift,
    times: Set[str] = frozenset(),
    *,
    judged: bool,
    means: Sequence[float | None] = (),
) -> list[FeatureDrift]:
    """Each of `columns` with its `counts`, shape `(cells,)`, in their order.

    Args:
        columns: of the reference.
        counts: of the window.
        calibration: for windows of about this size.
        drift: the limits.
        times: names of columns whose numbers are seconds since 1970.
        judged: whether anything may be called drifted.
        means: of the window's values, where they are known.
    """
    found = [
        differences(column, part[None, :], column.counts, calibration.rows)
        for column, part in zip(columns, counts, strict=True)
    ]
    p = calibrations.p_values(columns, found, calibration)
    return [
        _verdict(
            *(column, part, difference, float(p_value), calibration, drift),
            judged=judged,
            times=times,
            mean=mean,
        )
        for column, part, difference, p_value, mean in zip(
            columns, counts, found, p, means or [None] * len(columns), strict=True
        )
    ]


def _counts(column: Column, window: Window) -> Counts | None:
    """The window's counts of a column; None when they do not fit the reference's cells."""
    said = {Role.PREDICTION: window.prediction, Role.SCORE: window.score}
    held = said[column.role] if column.role in said else window.features.get(column.name, ())
    return np.array(held, dtype=np.int64) if len(held) == len(column.counts) else None


def _mean(column: Column, window: Window) -> float | None:
    """Of the window's values of a number."""
    held = window.score_moments if column.role is Role.SCORE else window.moments.get(column.name)
    return None if held is None or column.role is Role.PREDICTION else held.mean


def _verdict(
    column: Column,
    counts: Counts,
    found: Difference,
    p_value: float,
    calibration: Calibration,
    drift: Drift,
    *,
    judged: bool,
    times: Set[str],
    mean: float | None,
) -> FeatureDrift:
    effect = effects.measure(column, counts, calibration.rows, mean=mean)
    reasons = _reasons(column, counts, found, effect, drift.min_effect)
    drifted = judged and p_value < calibration.threshold and bool(reasons)
    reference, window, labels = picture(column, counts, as_time=column.name in times)
    return FeatureDrift(
        feature=column.name,
        kind=column.kind,
        psi=effect.psi.value,
        psi_low=effect.psi.low,
        psi_high=effect.psi.high,
        distance=effect.distance.value,
        distance_low=effect.distance.low,
        distance_high=effect.distance.high,
        jensen_shannon=effect.jensen_shannon,
        wasserstein=effect.wasserstein,
        importance=column.importance,
        p_value=p_value,
        missing_rate=float(found.missing[0]),
        reference_missing_rate=float(found.reference_missing[0]),
        unseen_rate=float(found.unseen[0]),
        drifted=drifted,
        reason="; ".join(reasons) if drifted else "",
        reference=reference,
        window=window,
        labels=labels,
    )


def _reasons(column: Column, counts: Counts, found: Difference, effect: Effect, least: float) -> list[str]:
    """The effects that are large enough to matter, in words."""
    psi, ks = effect.psi.value, float(found.ks[0])
    missing, usual = float(found.missing[0]), float(found.reference_missing[0])
    unseen = float(found.unseen[0])
    reasons = []
    if unseen * counts.sum() >= LEAST_UNSEEN_ROWS and unseen >= UNSEEN_OF_PSI * least:
        never = (
            "classes never predicted before"
            if column.role is Role.PREDICTION
            else "values that training never saw"
        )
        reasons.append(f"{unseen:.1%} of rows have {never}")
    if missing != usual and abs(missing - usual) >= KS_OF_PSI * least:
        reasons.append(f"{missing:.1%} missing instead of {usual:.1%}")
    if psi > 0 and (psi >= least or ks >= KS_OF_PSI * least):
        reasons.append(f"other values are frequent ({_sizes(column, effect)})")
    return reasons


def _sizes(column: Column, effect: Effect) -> str:
    """The effect sizes of a column, in words."""
    told = [f"PSI {effect.psi.value:.2f}, {effect.psi.low:.2f} to {effect.psi.high:.2f}"]
    if column.kind == "number":
        told.append(f"largest gap between the distributions {effect.distance.value:.2f}")
    if effect.wasserstein is not None:
        told.append(f"values moved by about {effect.wasserstein:.2f} standard deviations")
    return "; ".join(told)


def picture(
    column: Column, counts: Counts, *, as_time: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Shares of at most 14 cells, of the reference and of the window, and what each cell holds."""
    if column.kind == "category":
        own = column.categories[: MOST_COARSE - 1]
        group = np.minimum(np.arange(len(column.counts) - 1), len(own))
        labels = [*(name or "(empty)" for name in own), _OTHER]
    else:
        group = column.groups(column.size)
        labels = _number_labels(column, counts, group, as_time=as_time)
    group, labels = np.append(group, len(labels)), [*labels, _MISSING]
    sides = [np.bincount(group, weights=side, minlength=len(labels)) for side in (column.counts, counts)]
    shown = [
        cell
        for cell, label in enumerate(labels)
        if label not in _OPTIONAL or any(side[cell] for side in sides)
    ]
    reference, window = (side[shown] / max(side.sum(), 1) for side in sides)
    return tuple(reference.tolist()), tuple(window.tolist()), tuple(labels[cell] for cell in shown)


def _number_labels(column: Column, counts: Counts, group: Counts, *, as_time: bool) -> list[str]:
    """Ranges of the coarse cells; the value itself where a cell can only hold one that was seen."""
    if not column.edges:
        return ["any value"]
    show = _date if as_time else _number
    occupied = (column.counts[:-1] > 0) | (counts[:-1] > 0)
    labels = []
    for cell in range(int(group.max()) + 1):
        members = np.flatnonzero(group == cell)
        first, last = int(members[0]), int(members[-1])
        held = members[occupied[members]]
        if len(column.edges) <= MOST_COARSE and len(held) == 1 and 0 < held[0] < len(column.edges):
            labels.append(show(column.edges[held[0]]))
        elif last == len(column.edges):
            labels.append(f"above {show(column.edges[first - 1])}" if first else "any value")
        else:
            low = f"{show(column.edges[first - 1])} " if first else ""
            labels.append(f"{low}to {show(column.edges[last])}")
    return labels


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1e-300 else "0"


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return _number(seconds)
