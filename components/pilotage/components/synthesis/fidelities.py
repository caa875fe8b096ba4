"""How alike synthetic and real rows are: column by column, and pair by pair.

Numbers and times: the greatest difference of the distribution functions (Kolmogorov 1933, Smirnov
1948) or of the share of missing values, whichever is larger; other columns: total variation. Pairs:
the difference of Spearman's correlation of numbers, else of Cramér's V over tenths and frequent
values. All are 0 for rows that are alike and at most 1, but for correlations of opposite sign.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from pilotage.components.datasets import Dataset
from pilotage.core.artifacts import Association, Fidelity
from pilotage.core.features import Array
from pilotage.core.metrics import Task
from pilotage.core.specs import FeatureKind

MOST_ROWS = 20_000
MOST_COLUMNS = 60
"""Whose pairs are compared."""
_SHOWN_PAIRS = 10
_CELLS = 10
_NUMBERS = (FeatureKind.NUMBER, FeatureKind.TIME)


def measure(real: Dataset, synthetic: Dataset, task: Task, seed: int) -> Fidelity:
    """How alike the rows of both are, the target among the columns."""
    real, synthetic = _some(real, seed), _some(synthetic, seed)
    kinds = {feature.name: feature.kind for feature in real.features}
    columns = {name: (real.columns[name], synthetic.columns[name]) for name in kinds}
    kinds["(target)"] = FeatureKind.NUMBER if task is Task.REGRESSION else FeatureKind.CATEGORY
    columns["(target)"] = real.target, synthetic.target
    apart = {name: _apart(kinds[name], *both) for name, both in columns.items()}
    pairs = _pairs(kinds, columns)
    mean = float(np.mean(list(apart.values())))
    off = [min(1.0, abs(pair.real - pair.synthetic)) for pair in pairs]
    difference = float(np.mean(off)) if off else None
    pairs.sort(key=lambda pair: -abs(pair.real - pair.synthetic))
    return Fidelity(
        score=1.0 - (mean if difference is None else (mean + difference) / 2),
        columns={name: round(value, 6) for name, value in apart.items()},
        pairs=tuple(pairs[:_SHOWN_PAIRS]),
        pair_difference=difference,
    )


def _some(dataset: Dataset, seed: int) -> Dataset:
    if dataset.rows <= MOST_ROWS:
        return dataset
    chosen = np.random.default_rng(seed).choice(dataset.rows, MOST_ROWS, replace=False)
    return dataset.take(np.sort(chosen))


def _apart(kind: FeatureKind, real: Array, synthetic: Array) -> float:
    gone, lost = pd.isna(real), pd.isna(synthetic)
    if kind not in _NUMBERS:
        first = pd.Series(real[~gone]).value_counts() / max(1, real.size)
        second = pd.Series(synthetic[~lost]).value_counts() / max(1, synthetic.size)
        both = pd.concat([first, second], axis=1).fillna(0.0)
        missing = abs(float(gone.mean()) - float(lost.mean()))
        return float((both.iloc[:, 0] - both.iloc[:, 1]).abs().sum() + missing) / 2
    missing = abs(float(gone.mean()) - float(lost.mean()))
    if gone.all() or lost.all():
        return missing
    found = stats.ks_2samp(_number(real[~gone]), _number(synthetic[~lost]), method="asymp")
    return max(missing, float(found.statistic))


def _number(values: Array) -> npt.NDArray[np.float64]:
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]").astype(np.int64).astype(np.float64)
    return values.astype(np.float64)


def _pairs(kinds: dict[str, FeatureKind], columns: dict[str, tuple[Array, Array]]) -> list[Association]:
    names = [name for name in kinds if _varies(columns[name][0])][-MOST_COLUMNS:]
    ranked = [{name: _ranks(kinds[name], columns[name][side]) for name in names} for side in (0, 1)]
    edges = {name: _edges(kinds[name], columns[name][0]) for name in names}
    coded = [{name: _codes(edges[name], columns[name][side]) for name in names} for side in (0, 1)]
    found = []
    for first, second in itertools.combinations(names, 2):
        if kinds[first] in _NUMBERS and kinds[second] in _NUMBERS:
            real, synthetic = (_correlation(side[first], side[second]) for side in ranked)
        else:
            real, synthetic = (_cramer(side[first], side[second]) for side in coded)
        found.append(
            Association(first=first, second=second, real=round(real, 6), synthetic=round(synthetic, 6))
        )
    return found


def _varies(values: Array) -> bool:
    return pd.Series(values).nunique() > 1


def _ranks(kind: FeatureKind, values: Array) -> npt.NDArray[np.float64] | None:
    if kind not in _NUMBERS:
        return None
    numbers = np.where(pd.isna(values), np.nan, 0.0)
    numbers[~pd.isna(values)] = _number(values[~pd.isna(values)])
    return np.asarray(pd.Series(numbers).rank(), dtype=np.float64)


def _correlation(first: npt.NDArray[np.float64] | None, second: npt.NDArray[np.float64] | None) -> float:
    assert first is not None and second is not None  # noqa: S101, PT018 - both are numbers
    together = np.isfinite(first) & np.isfinite(second)
    one, two = first[together], second[together]
    if one.size < 3 or one.std() == 0 or two.std() == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])


def _edges(kind: FeatureKind, values: Array) -> pd.Index | npt.NDArray[np.float64]:
    """Frequent values, or the bounds between tenths."""
    present = values[~pd.isna(values)]
    if kind in _NUMBERS:
        shares = np.linspace(0, 1, _CELLS + 1)[1:-1]
        return np.unique(np.quantile(_number(present), shares))
    return pd.Series(present).value_counts().head(_CELLS).index


def _codes(edges: pd.Index | npt.NDArray[np.float64], values: Array) -> npt.NDArray[np.int64]:
    gone = pd.isna(values)
    found = np.full(values.size, -1, dtype=np.int64)
    if isinstance(edges, pd.Index):
        found[~gone] = edges.get_indexer(pd.Index(values[~gone]))
        found[~gone & (found < 0)] = len(edges)
    else:
        found[~gone] = np.searchsorted(edges, _number(values[~gone]), side="right")
    return found + 1


def _cramer(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
    """Cramér's V, corrected for what chance gives (Bergsma 2013)."""
    table = np.zeros((int(first.max()) + 1, int(second.max()) + 1))
    np.add.at(table, (first, second), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns = table.shape
    total = table.sum()
    if min(rows, columns) < 2 or total < 3:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    phi = float(((table - expected) ** 2 / expected).sum()) / total
    corrected = max(0.0, phi - (rows - 1) * (columns - 1) / (total - 1))
    high = rows - (rows - 1) ** 2 / (total - 1)
    wide = columns - (columns - 1) ** 2 / (total - 1)
    return float(np.sqrt(corrected / max(1e-12, min(high, wide) - 1)))
