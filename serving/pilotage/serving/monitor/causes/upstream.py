"""What happened to a column before it came here, in words, where its values betray it.

Each rule looks for one kind of mistake and claims it only when chance or an ordinary
change of the data would hardly make it: shares have to differ by far more than samples
do, and a repair has to bring distributions together. What fits no rule is not named, and
whether a column has drifted is judged elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import stats

from pilotage.core import samples
from pilotage.core.artifacts import Change, ChangeKind, Feature
from pilotage.core.features import Array, time_parts
from pilotage.core.profiles import as_profiled
from pilotage.core.specs import EMBEDDED, FeatureKind
from pilotage.serving.monitor.causes import categories, rescalings
from pilotage.serving.monitor.rows import matrices
from pilotage.serving.monitor.rows.matrices import Numbers, distance

LEAST_ROWS = 100
"""Of either sample, with a value where a rule looks at values."""
CERTAIN = 1e-8
"""Largest p-value of a difference that is claimed."""
LEAST_SHARE = 0.05
"""By which a share has to rise."""
_APART, _ALIKE = 0.3, 0.1
"""Gaps between distributions that are called different and the same."""
_TIMES = 10.0
_NOISE = 1e-13
_MOST_SWAPPED = 20
"""Columns, of those that moved furthest, that are compared with each other."""
_KNOWN_DEFAULTS = frozenset({0.0, -1.0, 99.0, -99.0, 999.0, -999.0, 9999.0, -9999.0, 99999.0, -99999.0})


@dataclass(frozen=True)
class _Pair:
    """One feature's values in both samples, times as hours."""

    feature: Feature
    before: Array
    after: Array

    @property
    def numeric(self) -> bool:
        return self.feature.kind is not FeatureKind.CATEGORY

    def present(self, values: Array) -> Array:
        if self.numeric:
            return values[~np.isnan(values)]
        return np.array([value for value in values.tolist() if value is not None], dtype=object)


def changes(reference: pa.Table, window: pa.Table, features: Sequence[Feature]) -> tuple[Change, ...]:
    """Changes of columns, strongest first; none where a sample has fewer than `LEAST_ROWS` rows.

    Args:
        reference: in the layout of `pilotage.core.samples`.
        window: likewise.
        features: of the model.
    """
    if min(reference.num_rows, window.num_rows) < LEAST_ROWS:
        return ()
    one, two = (samples.columns_of(matrices.canonical(side), features) for side in (reference, window))
    pairs = [_pair(feature, one[feature.name], two[feature.name]) for feature in features]
    swapped = _swapped([pair for pair in pairs if _enough(pair)])
    told = {change.feature for change in swapped}
    found = [*swapped]
    for pair in pairs:
        missing = _missing(pair)
        found += [missing] if missing else []
        if _enough(pair) and pair.feature.name not in told:
            found += _of_values(pair)
    return tuple(sorted(found, key=lambda change: (-change.strength, change.feature, change.kind)))


def _pair(feature: Feature, before: Array, after: Array) -> _Pair:
    if feature.kind is FeatureKind.TIME:
        return _Pair(feature, time_parts(before)[:, 3], time_parts(after)[:, 3])
    if feature.kind is FeatureKind.CATEGORY:
        return _Pair(feature, before, after)
    if feature.kind in EMBEDDED:
        before, after = as_profiled(feature, before), as_profiled(feature, after)
    return _Pair(feature, _without_noise(before), _without_noise(after))


def _without_noise(values: Numbers) -> Numbers:
    """Sums that should be nothing, and are the last bits of others, become 0."""
    largest = float(np.nanmax(np.abs(values))) if not np.isnan(values).all() else 0.0
    return np.where(np.abs(values) < _NOISE * largest, 0.0, values)


def _enough(pair: _Pair) -> bool:
    return min(len(pair.present(pair.before)), len(pair.present(pair.after))) >= LEAST_ROWS


def _of_values(pair: _Pair) -> list[Change]:
    """The first of the rules about single values and numbers that says something, or all about categories."""
    before, after = pair.present(pair.before), pair.present(pair.after)
    name = pair.feature.name
    if pair.feature.kind is FeatureKind.TIME:
        shifted = rescalings.hours(name, before, after) if rescalings.are_hours(before) else None
        return [shifted] if shifted else []
    constant = _constant(name, before, after)
    if constant:
        return [constant]
    if not pair.numeric:
        return categories.changes(name, before.tolist(), after.tolist())
    clock = rescalings.are_hours(before) and rescalings.are_hours(after)
    found = (
        (rescalings.hours(name, before, after) if clock else None)
        or rescalings.find(name, before, after)
        or _default(name, before, after)
        or _precision(name, before, after)
    )
    return [found] if found else []


def p_rise(before: int, of_before: int, after: int, of_after: int) -> float:
    """Fisher's (1934) exact one-sided p-value that the share `after / of_after` is not the higher one."""
    total = of_before + of_after
    return float(stats.hypergeom.sf(after - 1, total, before + after, of_after))


def _missing(pair: _Pair) -> Change | None:
    empty = [len(values) - len(pair.present(values)) for values in (pair.before, pair.after)]
    usual, now = empty[0] / len(pair.before), empty[1] / len(pair.after)
    p = p_rise(empty[0], len(pair.before), empty[1], len(pair.after))
    if now - usual < LEAST_SHARE or p > CERTAIN:
        return None
    words = "All values are missing" if now == 1 else f"{now:.1%} of values are missing"
    return Change(
        feature=pair.feature.name,
        kind=ChangeKind.MISSING,
        message=f"{words}; it was {usual:.1%}.",
        strength=now - usual,
    )


def _constant(name: str, before: Array, after: Array) -> Change | None:
    """Only one value is left, which was not nearly the only one before."""
    value = after[0]
    if (after != value).any():
        return None
    share = float((before == value).mean())
    if max(share, 1 / len(before)) ** len(after) > CERTAIN or share > 0.9:
        return None
    shown = f"{value:.6g}" if isinstance(value, float) else f"`{value}`"
    return Change(
        feature=name,
        kind=ChangeKind.CONSTANT,
        message=f"Every value is {shown}; {share:.1%} were before.",
        strength=1 - share,
    )


def _default(name: str, before: Numbers, after: Numbers) -> Change | None:
    """A value became far more frequent while all others stayed as they were."""
    counts = Counter(after.tolist())
    value, count = max(
        counts.items(), key=lambda item: item[1] - len(after) * float((before == item[0]).mean())
    )
    known, usual = int((before == value).sum()), float((before == value).mean())
    share = count / len(after)
    unusual = value in _KNOWN_DEFAULTS or value < before.min() or value > before.max()
    risen = share - usual >= LEAST_SHARE and share >= _TIMES * usual and (unusual or not known)
    others = after[after != value]
    if not risen or p_rise(known, len(before), count, len(after)) > CERTAIN or len(others) < LEAST_ROWS / 4:
        return None
    rivals = [other for held, other in counts.items() if held != value and 3 * other > count]
    if rivals or distance(before[before != value], others) > 2 * _ALIKE:
        return None
    return Change(
        feature=name,
        kind=ChangeKind.DEFAULT,
        message=(
            f"{share:.1%} of values are {value:.6g}, instead of {usual:.1%}, and the others are as before:"
            f" it seems to be filled in."
        ),
        strength=share - usual,
    )


def _precision(name: str, before: Numbers, after: Numbers) -> Change | None:
    """Nearly all values are rounded where few were, or the reverse, and the distributions are alike."""
    for decimals in range(4):
        if distance(np.round(before, decimals), np.round(after, decimals)) > _ALIKE:
            continue
        usual, now = (
            float((np.abs(side - np.round(side, decimals)) < 1e-9).mean()) for side in (before, after)
        )
        where = "whole numbers" if decimals == 0 else f"rounded to {decimals} decimals"
        if now >= 0.999 and usual <= 0.5:
            words = f"All values are {where}; {usual:.0%} were before."
        elif usual >= 0.999 and now <= 0.5:
            words = f"{1 - now:.0%} of values are not {where}, as all were before."
        else:
            continue
        return Change(feature=name, kind=ChangeKind.PRECISION, message=words, strength=abs(now - usual))
    return None


def _swapped(pairs: list[_Pair]) -> list[Change]:
    """Two columns of a kind that each hold what the other held."""
    found = []
    moved = [pair for pair in pairs if pair.feature.kind in (FeatureKind.NUMBER, FeatureKind.CATEGORY)]
    apart = {place: _gap(pair, pair) for place, pair in enumerate(moved)}
    furthest = sorted(apart, key=lambda place: (-apart[place], place))[:_MOST_SWAPPED]
    moved = [moved[place] for place in sorted(furthest) if apart[place] >= _APART]
    for place, one in enumerate(moved):
        for two in moved[place + 1 :]:
            if one.numeric is two.numeric and max(_gap(one, two), _gap(two, one)) <= _ALIKE:
                names = one.feature.name, two.feature.name
                found += [
                    Change(
                        feature=here,
                        kind=ChangeKind.SWAPPED,
                        message=f"Holds what `{there}` held, and the reverse: they seem to be swapped.",
                        strength=_gap(pair, pair),
                    )
                    for pair, (here, there) in zip((one, two), (names, names[::-1]), strict=True)
                ]
    return found


def _gap(one: _Pair, two: _Pair) -> float:
    """Between what one column held and what the other holds: Kolmogorov's, or the total variation."""
    before, after = one.present(one.before), two.present(two.after)
    if one.numeric:
        return matrices.distance(before, after) if two.numeric else 1.0
    held, holds = Counter(before.tolist()), Counter(after.tolist())
    return sum(abs(held[key] / len(before) - holds[key] / len(after)) for key in {*held, *holds}) / 2
