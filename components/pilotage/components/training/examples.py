"""The example of a model's input that is kept with it: a typical row, and no row of the data.

Whoever may load a model sees it, and no erasure finds it, for it has no key: so it must be nobody's. Numbers
and times are medians, categories the commonest if they stand in several rows; texts and images
are not looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pilotage.components.datasets import Dataset
from pilotage.core import features
from pilotage.core.specs import FeatureKind

LEAST_ROWS = 5
"""That a category stands in, lest it tells of somebody; a rarer one is missing."""


def typical(rows: Dataset) -> pd.DataFrame:
    """One row with all features, from the columns of the training rows."""
    kinds = {feature.name: feature.kind for feature in rows.features}
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for name, kind in kinds.items():
        if kind in (FeatureKind.TEXT, FeatureKind.IMAGE):
            columns[name] = np.array(["text" if kind is FeatureKind.TEXT else None], dtype=object)
        elif kind is FeatureKind.CATEGORY:
            columns[name] = np.array([_commonest(rows.columns[name])], dtype=object)
        else:
            columns[name] = _middle(rows.columns[name])
    return features.to_frame(columns)


def _commonest(column: Any) -> str | None:
    found = pd.Series(column, dtype=object).value_counts()
    return str(found.index[0]) if len(found) and found.iloc[0] >= LEAST_ROWS else None


def _middle(column: Any) -> np.ndarray[Any, Any]:
    """The lower median, so that booleans and whole numbers stay what they are; missing where all is."""
    present = np.sort(column[~pd.isna(column)])
    value = present[(present.size - 1) // 2] if present.size else column[0]
    return np.array([value], dtype=column.dtype)
