"""Whether a column's numbers are the reference's in another unit, with another sign or at other hours.

A change is claimed only when the distributions were far apart and undoing it brings them
close together, and when values that used to lie on a grid (whole numbers, say) lie on it
again. So a column that merely became larger is not called a change of unit, though one
whose scale happened to change by a known factor and that has no grid can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pilotage.core.artifacts import Change, ChangeKind
from pilotage.serving.monitor.rows.matrices import Numbers, distance

LEAST_GAP = 0.3
"""Between the distributions, for a change of unit to be looked for."""
MOST_LEFT = 0.1
"""Of the gap, when the change is undone."""
_BETTER = 4.0
"""Times that the gap has to shrink."""
_FEWEST_VALUES = 8
_MOST_ALIKE = 0.5
"""Share of the most frequent value, beyond which the others are too few to tell a scale from."""
_ON_GRID = 0.95
_HOURS = 24


@dataclass(frozen=True)
class Rescaling:
    """The window's value is `factor` times the reference's plus `offset`."""

    factor: float
    offset: float
    words: str


def _both(factor: float, one: str, two: str) -> list[Rescaling]:
    return [
        Rescaling(factor, 0.0, f"{one} became {two}"),
        Rescaling(1 / factor, 0.0, f"{two} became {one}"),
    ]


KNOWN = [
    *_both(1.609344, "miles", "kilometres"),
    *_both(0.45359237, "pounds", "kilograms"),
    *_both(0.3048, "feet", "metres"),
    *_both(2.54, "inches", "centimetres"),
    *_both(0.44704, "miles per hour", "metres per second"),
    *_both(1.852, "knots", "kilometres per hour"),
    *_both(60.0, "hours or minutes", "minutes or seconds"),
    *_both(100.0, "shares or whole units", "percent or hundredths"),
    *_both(1000.0, "units or thousands", "thousandths or units"),
    Rescaling(1.8, 32.0, "degrees Celsius became Fahrenheit"),
    Rescaling(1 / 1.8, -32.0 / 1.8, "degrees Fahrenheit became Celsius"),
    Rescaling(1.0, 273.15, "degrees Celsius became kelvin"),
    Rescaling(1.0, -273.15, "kelvin became degrees Celsius"),
]
_SAME = Rescaling(1.0, 0.0, "nothing changed")
FLIPPED = Rescaling(-1.0, 0.0, "the sign was flipped")


def find(feature: str, before: Numbers, after: Numbers) -> Change | None:
    """The change that explains how `after` differs from `before`, both without missing values."""
    if min(len(np.unique(before)), len(np.unique(after))) < _FEWEST_VALUES or _mode(before) > _MOST_ALIKE:
        return None
    gap = min(distance(before, after), _left(before, after, _SAME))
    if gap < LEAST_GAP:
        return None
    left = {known: _left(before, after, known) for known in (*KNOWN, FLIPPED)}
    allowed = min(MOST_LEFT, gap / _BETTER)
    best, *others = sorted(left, key=lambda known: left[known])
    if left[best] > allowed or not _fits_grid(before, after, best):
        return None
    close = [known.words for known in others if left[known] <= allowed and known.words != best.words]
    flipped = best is FLIPPED
    scale = "" if flipped else f" (times {best.factor:.6g}{f', {best.offset:+.4g}' if best.offset else ''})"
    return Change(
        feature=feature,
        kind=ChangeKind.SIGN if flipped else ChangeKind.UNIT,
        message=(
            f"The values look as if {best.words}{scale}"
            + (f", or perhaps {close[0]}" if close else "")
            + f": undone, the largest gap between the distributions falls from {gap:.2f} to {left[best]:.2f}."
        ),
        strength=1 - left[best] / gap,
    )


def _mode(values: Numbers) -> float:
    """Share of the most frequent value."""
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


def _left(before: Numbers, after: Numbers, known: Rescaling) -> float:
    """The gap that is left when the change is undone, both sides rounded like the one rounded more."""
    undone = (after - known.offset) / known.factor
    step = max(_grid(before), _grid(after) / abs(known.factor))
    return distance(_snapped(before, step), _snapped(undone, step))


def _snapped(values: Numbers, step: float) -> Numbers:
    snapped: Numbers = np.round(values / step) if step else values
    return snapped


def _grid(values: Numbers) -> float:
    """The coarsest of 1, 0.1, 0.01 and 0.001 that nearly all values are multiples of; 0 where none is."""
    for decimals in range(4):
        if (np.abs(values - np.round(values, decimals)) < 1e-6).mean() >= _ON_GRID:
            return float(10.0**-decimals)
    return 0.0


def _fits_grid(before: Numbers, after: Numbers, known: Rescaling) -> bool:
    """Whether undone values lie where the reference's did, as far as their own rounding lets one see."""
    grid, blur = _grid(before), _grid(after) / abs(known.factor) / 2
    if grid == 0 or blur >= grid / 4:
        return True
    undone = (after - known.offset) / known.factor
    off = np.abs(undone - np.round(undone / grid) * grid)
    return bool((off <= blur + 1e-3 * grid).mean() >= _ON_GRID)


def hours(feature: str, before: Numbers, after: Numbers) -> Change | None:
    """Whether whole hours of the day, 0 to 23, moved round the clock, as with another time zone."""
    one, two = (np.bincount(side.astype(np.intp), minlength=_HOURS) / len(side) for side in (before, after))
    gaps = [float(np.abs(np.roll(one, step) - two).sum() / 2) for step in range(_HOURS)]
    step = int(np.argmin(gaps))
    if not step or gaps[0] < LEAST_GAP or gaps[step] > min(MOST_LEFT, gaps[0] / _BETTER):
        return None
    moved = step if step <= _HOURS // 2 else step - _HOURS
    return Change(
        feature=feature,
        kind=ChangeKind.HOURS,
        message=(
            f"Hours moved by {moved:+d}, as with another time zone: undone, {gaps[step]:.0%} of rows"
            f" are at unusual hours instead of {gaps[0]:.0%}."
        ),
        strength=1 - gaps[step] / gaps[0],
    )


def are_hours(values: Numbers) -> bool:
    """Whether all are whole numbers from 0 to 23, and at least half of the clock's hours occur."""
    whole = bool(((values >= 0) & (values < _HOURS) & (values == np.floor(values))).all())
    return whole and len(np.unique(values)) >= _HOURS // 2
