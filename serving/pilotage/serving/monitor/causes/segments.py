"""Where it is different: rows that one or two conditions pick out, and what is worse or more frequent there.

Conditions are a category, a fifth of the reference's numbers, or a missing value; every one
and every pair is looked at, and all are judged together at a false discovery rate
(Benjamini and Hochberg, 1995), which holds approximately for segments that overlap
(Benjamini and Yekutieli, 2001). With truth, a segment's loss has to have risen from the
reference, and by more than that of all other rows: a model that became worse everywhere has
no segment. Without it, segments that grew or whose scores moved are told. Segments that
mostly hold the same rows are told once (compare Chung, Kraska, Polyzotis, Tae and Whang,
2019).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special, stats

from pilotage.core import samples
from pilotage.core.artifacts import Feature, Segment
from pilotage.core.features import Array, Columns, time_parts
from pilotage.core.profiles import as_profiled
from pilotage.core.specs import EMBEDDED, FeatureKind
from pilotage.serving.monitor.rows.matrices import Numbers

RATE = 0.05
"""False discoveries among the segments that are told, at most."""
MOST = 5
LEAST_ROWS = 30
"""Of a segment, in either sample."""
MOST_SHARE = 0.5
"""Of the window's rows, that a segment with another loss or score may have."""
LEAST_GROWTH = 0.05
"""By which a segment's share has to rise to be told."""
_MOST_CONDITIONS = 240
_CATEGORIES = 12
_NEARLY_ALL = 0.9
_CELLS = 5
_SAME = 0.5
_MOST_GROWN = 3
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class _Conditions:
    """Which rows meet which condition, shape `(rows, conditions)`, as 0 and 1."""

    words: tuple[str, ...]
    features: npt.NDArray[np.str_]
    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Sums:
    """Of each pair of conditions, and on the diagonal of each one."""

    rows: Numbers
    mean: Numbers
    variance: Numbers
    """Of the mean."""
    rest: Numbers
    """Mean of all other rows."""
    rest_variance: Numbers


def worse(
    reference: pa.Table,
    window: pa.Table,
    features: Sequence[Feature],
    losses: tuple[Numbers, Numbers],
    measure: str,
) -> tuple[Segment, ...]:
    """Segments whose loss rose more than elsewhere, most harmful first.

    Args:
        reference: in the layout of `pilotage.core.samples`.
        window: likewise.
        features: of the model.
        losses: of the rows of both, finite.
        measure: what a loss is, in words.
    """
    held = _conditions(reference, window, features)
    if held is None:
        return ()
    one, two = _sums(held.before, losses[0]), _sums(held.after, losses[1])
    error = np.sqrt(one.variance + two.variance)
    rise, elsewhere = two.mean - one.mean, two.rest - one.rest
    excess = rise - elsewhere
    excess_error = np.sqrt(error**2 + one.rest_variance + two.rest_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.maximum(_tail(excess / excess_error, one, two), _tail(rise / error, one, two))
    found = _discoveries(np.where(_fit(one, two, len(held.after)), p, np.nan))
    harm = two.rows * (excess - _Z95 * excess_error)
    return tuple(
        _told(held, pair, two, (two.mean[pair], one.mean[pair]), error[pair], measure)
        for pair in _different(held, found, harm)
    )


def moved(reference: pa.Table, window: pa.Table, features: Sequence[Feature]) -> tuple[Segment, ...]:
    """Segments that grew most; then those, not among them, whose mean score moved more than elsewhere."""
    held = _conditions(reference, window, features)
    if held is None:
        return ()
    scores = [
        np.nan_to_num(side.column("score").to_numpy(zero_copy_only=False)) for side in (reference, window)
    ]
    one, two = _sums(held.before, scores[0]), _sums(held.after, scores[1])
    grown = _grown(held, one, two)
    return (*(segment for _, segment in grown), *_swayed(held, one, two, [at for at, _ in grown]))[:MOST]


def _grown(held: _Conditions, one: _Sums, two: _Sums) -> list[tuple[tuple[int, int], Segment]]:
    before, after = one.rows / len(held.before), two.rows / len(held.after)
    growth = after - before
    error = np.sqrt(before * (1 - before) / len(held.before) + after * (1 - after) / len(held.after))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = special.ndtr(-growth / error)
    usable = (two.rows >= LEAST_ROWS) & (growth >= LEAST_GROWTH)
    return [
        (at, _told(held, at, two, (after[at], before[at]), error[at], "share of rows"))
        for at in _different(held, _discoveries(np.where(usable, p, np.nan)), growth)[:_MOST_GROWN]
    ]


def _swayed(held: _Conditions, one: _Sums, two: _Sums, known: Sequence[tuple[int, int]]) -> list[Segment]:
    """Those whose mean score moved, and moved further to that side than that of all other rows."""
    rise, plain = two.mean - one.mean, np.sqrt(one.variance + two.variance)
    excess = rise - (two.rest - one.rest)
    spread = np.sqrt(plain**2 + one.rest_variance + two.rest_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        doubtful = np.minimum(np.abs(excess) / spread, np.abs(rise) / plain)
    usable = _fit(one, two, len(held.after)) & (np.sign(rise) == np.sign(excess))
    found = _discoveries(np.where(usable, 2 * _tail(doubtful, one, two), np.nan))
    return [
        _told(held, at, two, (two.mean[at], one.mean[at]), plain[at], "mean score")
        for at in _different(held, found, two.rows * (np.abs(excess) - _Z95 * spread), known)
    ]


def _conditions(reference: pa.Table, window: pa.Table, features: Sequence[Feature]) -> _Conditions | None:
    """All that enough of the window's rows meet, the most common of them."""
    if min(reference.num_rows, window.num_rows) < 2 * LEAST_ROWS:
        return None
    one, two = samples.columns_of(reference, features), samples.columns_of(window, features)
    found = [entry for feature in features for entry in _of(feature, one, two)]
    found = [
        entry
        for entry in found
        if entry[3].sum() >= LEAST_ROWS and min(entry[2].mean(), entry[3].mean()) <= _NEARLY_ALL
    ]
    found = sorted(found, key=lambda entry: -int(entry[3].sum()))[:_MOST_CONDITIONS]
    if not found:
        return None
    words, names, before, after = zip(*found, strict=True)
    return _Conditions(
        words,
        np.array(names),
        np.column_stack(before).astype(np.float32),
        np.column_stack(after).astype(np.float32),
    )


def _of(feature: Feature, one: Columns, two: Columns) -> list[tuple[str, str, Array, Array]]:
    """Words, the feature, and which rows of both samples meet each condition on it."""
    name, before, after = feature.name, one[feature.name], two[feature.name]
    if feature.kind is FeatureKind.CATEGORY:
        counts = Counter(value for value in (*before.tolist(), *after.tolist()) if value is not None)
        known = [value for value, _ in counts.most_common(_CATEGORIES)]
        found = [(f"{name} is {value}", name, before == value, after == value) for value in known]
        gone = [np.array([value is None for value in side.tolist()], dtype=bool) for side in (before, after)]
        return [*found, (f"{name} is missing", name, gone[0], gone[1])]
    label = name
    if feature.kind is FeatureKind.TIME:
        before, after, label = time_parts(before)[:, 3], time_parts(after)[:, 3], f"hour of {name}"
    if feature.kind in EMBEDDED:
        before, after = as_profiled(feature, before), as_profiled(feature, after)
        label = f"length of {name}"
    missing = (f"{name} is missing", name, np.isnan(before), np.isnan(after))
    return [*_ranges(name, label, before, after), missing]


def _ranges(name: str, label: str, before: Numbers, after: Numbers) -> list[tuple[str, str, Array, Array]]:
    present = before[~np.isnan(before)]
    if not len(present):
        return []
    distinct = np.unique(present)
    if len(distinct) <= _CELLS:
        return [(f"{label} is {value:.6g}", name, before == value, after == value) for value in distinct]
    inner = np.linspace(0, 1, _CELLS + 1)[1:-1]
    edges = np.unique(np.quantile(present, inner, method="inverted_cdf"))
    bounds = [-np.inf, *edges, np.inf]
    found = []
    for low, high in itertools.pairwise(bounds):
        words = f"{label} is above {_shown(low)} up to {_shown(high)}"
        words = f"{label} is up to {_shown(high)}" if low == -np.inf else words
        words = f"{label} is above {_shown(low)}" if high == np.inf else words
        inside = [(side > low) & (side <= high) for side in (before, after)]
        found.append((words, name, inside[0], inside[1]))
    return found


def _shown(edge: float) -> str:
    return "0" if abs(edge) < 1e-9 else f"{edge:.4g}"


def _sums(marks: npt.NDArray[np.float32], values: Numbers) -> _Sums:
    centred = (values - values.mean()).astype(np.float32)[:, None]
    rows, first, second = (
        (marks.T @ (marks * weight)).astype(np.float64) for weight in (1, centred, centred**2)
    )
    total, others = len(marks), len(marks) - rows
    rest_first, rest_second = centred.sum() - first, (centred**2).sum() - second
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, rest = first / rows, rest_first / others
        variance = np.maximum(second / rows - mean**2, 0) / (rows - 1)
        rest_variance = np.maximum(rest_second / others - rest**2, 0) / np.where(rows < total, others - 1, 1)
    return _Sums(rows, mean + values.mean(), variance, rest + values.mean(), rest_variance)


def _fit(one: _Sums, two: _Sums, rows: int) -> npt.NDArray[np.bool_]:
    """Which segments have enough rows, and not so many that they are the rule."""
    return (one.rows >= LEAST_ROWS) & (two.rows >= LEAST_ROWS) & (two.rows <= MOST_SHARE * rows)


def _tail(score: Numbers, one: _Sums, two: _Sums) -> Numbers:
    """One-sided p-values by Student's t, with as few degrees of freedom as the smaller segment allows."""
    found: Numbers = stats.t.sf(score, np.maximum(np.minimum(one.rows, two.rows) - 1, 1))
    return found


def _discoveries(p: Numbers) -> npt.NDArray[np.bool_]:
    """Which p-values are rejected; NaN where nothing was tested, and each pair is held twice."""
    tested = np.triu(np.isfinite(p))
    values = np.sort(p[tested])
    passed = np.flatnonzero(values <= RATE * np.arange(1, len(values) + 1) / max(len(values), 1))
    rejected: npt.NDArray[np.bool_] = tested & (p <= (values[passed[-1]] if len(passed) else -1.0))
    return rejected


def _different(
    held: _Conditions,
    found: npt.NDArray[np.bool_],
    merit: Numbers,
    known: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int]]:
    """The best of the segments found, each with few rows in common with better ones and `known` ones."""
    ranked = sorted(zip(*np.nonzero(found), strict=True), key=lambda at: -merit[at])
    chosen: list[tuple[int, int]] = []
    rows = [_rows(held, at) for at in known]
    for a, b in ranked:
        here = _rows(held, (a, b))
        if a != b and held.features[a] == held.features[b]:
            continue
        if all((here & other).sum() <= _SAME * min(here.sum(), other.sum()) for other in rows):
            chosen.append((int(a), int(b)))
            rows.append(here)
        if len(chosen) == MOST:
            break
    return chosen


def _rows(held: _Conditions, at: tuple[int, int]) -> npt.NDArray[np.bool_]:
    both: npt.NDArray[np.bool_] = (held.after[:, at[0]] * held.after[:, at[1]]) > 0
    return both


def _told(
    held: _Conditions,
    at: tuple[int, int],
    window: _Sums,
    values: tuple[float, float],
    error: float,
    measure: str,
) -> Segment:
    a, b = at
    now, usual = float(values[0]), float(values[1])
    return Segment(
        description=held.words[a] if a == b else f"{held.words[a]} and {held.words[b]}",
        rows=int(window.rows[at]),
        share=float(window.rows[at] / len(held.after)),
        value=now,
        reference=usual,
        low=now - usual - _Z95 * float(error),
        high=now - usual + _Z95 * float(error),
        measure=measure,
    )
