"""How much worse than the champion a challenger is: counts that add up, and figures made of them.

Times are counted by the size of the call, because one version may answer larger
batches than the other. Scores are counted by the champion's profile. Every
bound allows for chance: a figure of a few requests halts nothing. Where counts
come from and who acts on the figures is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pilotage.core.artifacts import Comparison, Measured, Side
from pilotage.core.specs import Bounds

LEAST_FAILURES = 5
"""Failures from which a version's share of them is judged, however few its requests are."""
FASTEST_SECONDS = 1e-5
TIME_STEP = 1.1
TIME_CELLS = 170
"""Cells of a call's time: from 10 µs to over a minute, each a tenth wider than the one before."""
LEAST_CALLS = 50
"""Calls of the champion from which its p99 for a size of call is known."""
_SLOW_SHARE = 0.01
_DEVIATIONS = 3.0
"""Standard deviations by which slow calls must exceed what chance gives."""
_SCORE_GROUPS = 10
_ROUNDING = 1e-9


def time_cell(seconds: float) -> int:
    """The cell that a call of `seconds` is counted in."""
    if seconds <= FASTEST_SECONDS:
        return 0
    return min(int(math.log(seconds / FASTEST_SECONDS) / math.log(TIME_STEP)), TIME_CELLS - 1)


def size_class(rows: int) -> int:
    """Calls of alike many rows have the same: 1, 2 to 3, 4 to 7, …"""
    return rows.bit_length()


def merge(one: Comparison, two: Comparison) -> Comparison:
    """Both together; associative and commutative."""
    return Comparison(
        pilot=one.pilot,
        step=one.step,
        champion=_merge_sides(one.champion, two.champion),
        challenger=_merge_sides(one.challenger, two.challenger),
        copied=one.copied + two.copied,
        dropped=one.dropped + two.dropped,
        compared=one.compared + two.compared,
        agreed=one.agreed + two.agreed,
        distance=one.distance + two.distance,
    )


def _merge_sides(one: Side, two: Side) -> Side:
    return Side(
        requests=one.requests + two.requests,
        failures=one.failures + two.failures,
        rows=one.rows + two.rows,
        times={
            size: _added(one.times.get(size, {}), two.times.get(size, {}))
            for size in sorted({*one.times, *two.times})
        },
        scores=_sum(one.scores, two.scores),
    )


def _added(one: Mapping[int, int], two: Mapping[int, int]) -> dict[int, int]:
    return {cell: one.get(cell, 0) + two.get(cell, 0) for cell in sorted({*one, *two})}


def _sum(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    if len(one) != len(two):  # one has none yet, or was counted by another profile
        return max(one, two, key=sum)
    return tuple(a + b for a, b in zip(one, two, strict=True))


def measure(found: Comparison, bounds: Bounds, min_requests: int) -> Measured:
    """The figures of a comparison, and which of `bounds` the challenger is beyond."""
    one, two = found.champion, found.challenger
    enough = min(one.requests, two.requests) >= min_requests
    shifts = _shifts(one, two)
    errors = _share(two) - _share(one)
    score, noise = (enough and stability_index(one, two)) or (None, 0.0)
    latency = _ratio(shifts) if len(shifts) >= min_requests else None
    reasons = (
        _errors_beyond(two, errors, bounds.errors, min_requests),
        "" if latency is None else _latency_beyond(shifts, latency, bounds.latency),
        "" if score is None else _score_beyond(score, noise, bounds.score),
    )
    return Measured(
        requests=two.requests,
        champion_requests=one.requests,
        errors=errors,
        latency=latency,
        score=score,
        agreement=found.agreed / found.compared if found.compared else None,
        distance=found.distance / found.compared if found.compared else None,
        copied=found.copied,
        dropped=found.dropped,
        beyond=next((reason for reason in reasons if reason), ""),
    )


def _share(side: Side) -> float:
    return side.failures / side.requests if side.requests else 0.0


def _errors_beyond(side: Side, errors: float, bound: float | None, min_requests: int) -> str:
    known = side.failures >= LEAST_FAILURES or side.requests >= min_requests
    if bound is None or not known or errors <= bound + _ROUNDING:
        return ""
    return (
        f"{side.failures} of {side.requests} requests failed on it, {errors:.1%} beyond the champion's share"
        f" (bound {bound:.1%})"
    )


def _latency_beyond(shifts: npt.NDArray[np.int64], ratio: float, bound: float | None) -> str:
    """Whether more calls are slower than the bound than the hundredth that a p99 leaves, and chance."""
    if bound is None:
        return ""
    allowed = math.ceil(math.log(bound) / math.log(TIME_STEP) - _ROUNDING)
    calls = len(shifts)
    slow = int((shifts > allowed).sum())
    chance = _SLOW_SHARE * calls + _DEVIATIONS * math.sqrt(_SLOW_SHARE * (1 - _SLOW_SHARE) * calls)
    if slow <= chance:
        return ""
    return f"its model's p99 time is {ratio:.1f} times the champion's (bound {bound:g})"


def _score_beyond(score: float, noise: float, bound: float | None) -> str:
    if bound is None or score <= max(bound, _DEVIATIONS * noise) + _ROUNDING:
        return ""
    return f"its scores are spread differently: population stability index {score:.2f} (bound {bound:g})"


def _shifts(champion: Side, challenger: Side) -> npt.NDArray[np.int64]:
    """How many cells each call of the challenger is slower than the champion's p99 for that size."""
    found = [np.zeros(0, np.int64)]
    for size, cells in challenger.times.items():
        known = champion.times.get(size, {})
        if sum(known.values()) >= LEAST_CALLS:
            highest = _percentile_cell(known)
            found.append(np.repeat(np.array(list(cells)) - highest, list(cells.values())))
    return np.concatenate(found)


def _percentile_cell(cells: Mapping[int, int]) -> int:
    """The cell that the 99th percentile is in."""
    total, seen = sum(cells.values()), 0
    for cell in sorted(cells):
        seen += cells[cell]
        if seen >= (1 - _SLOW_SHARE) * total - _ROUNDING:
            return cell
    raise ValueError("no calls were counted")


def _ratio(shifts: npt.NDArray[np.int64]) -> float:
    return float(TIME_STEP ** np.quantile(shifts, 1 - _SLOW_SHARE, method="inverted_cdf"))


def stability_index(one: Side, two: Side) -> tuple[float, float] | None:
    """Population stability index of the scores, less what chance alone gives, at least 0; and its noise.

    Over ten groups of cells that hold about equally many rows of both. Rows of one
    request may be alike, so chance is reckoned from requests where these are fewer.
    The noise is the standard deviation that chance alone gives the index, which is about
    (1/n + 1/m) times a chi-squared variable (Yurdakul, 2018). None when a side has no scores.
    """
    if not sum(one.scores) or not sum(two.scores) or len(one.scores) != len(two.scores):
        return None
    both = np.array([one.scores, two.scores], dtype=np.float64)
    pooled = both.sum(axis=0)
    middle = (np.cumsum(pooled) - pooled / 2) * _SCORE_GROUPS / pooled.sum()
    group = np.minimum(middle.astype(np.int64), _SCORE_GROUPS - 1)
    counts = np.array([np.bincount(group, weights=side, minlength=_SCORE_GROUPS) for side in both])
    counts = counts[:, counts.sum(axis=0) > 0] + 0.5
    shares = counts / counts.sum(axis=1, keepdims=True)
    index = float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())
    chance = sum(1 / (min(side.requests, sum(side.scores)) or 1) for side in (one, two))
    freedom = len(counts[0]) - 1
    return max(0.0, index - freedom * chance), math.sqrt(2 * freedom) * chance
