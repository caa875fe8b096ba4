"""How features become the numbers that each family of estimators wants.

All of it is scikit-learn's own or `pilotage.core.encoders`, so that skops can
hold it. Values that training has not seen are taken as missing or as rare,
never as an error. Estimators are not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from pilotage.core.artifacts import Feature
from pilotage.core.encoders import Embedded, TimeParts
from pilotage.core.specs import FeatureKind

MOST_CODES = 254
"""Categories of one feature that trees tell apart; rarer ones share a code."""
MOST_COLUMNS = 50
"""One-hot columns of one feature; rarer categories share one."""


Vectors = Mapping[str, Embedded]
"""By name of a text or an image, what gives its vectors."""


def for_trees(features: Sequence[Feature], vectors: Vectors | None = None) -> ColumnTransformer:
    """Numbers as they are, times in parts, categories as codes; missing and unseen values are NaN.

    Codes are given as plain numbers: on the flights that was as good as gradient boosting's own
    handling of categories, answers a row a third faster, and converts to other formats.
    """
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=MOST_CODES,
    )
    return _columns(features, vectors, numbers="passthrough", times=TimeParts(), categories=codes)


def for_linear_models(features: Sequence[Feature], vectors: Vectors | None = None) -> ColumnTransformer:
    """Numbers imputed by the median and scaled, times likewise in parts, categories one-hot."""
    one_hot = OneHotEncoder(max_categories=MOST_COLUMNS, handle_unknown="infrequent_if_exist")
    return _columns(
        features,
        {name: make_pipeline(vector, StandardScaler()) for name, vector in (vectors or {}).items()},
        numbers=make_pipeline(_imputer(), StandardScaler()),
        times=make_pipeline(TimeParts(), _imputer(), StandardScaler()),
        categories=one_hot,
    )


def for_networks(
    features: Sequence[Feature], gappy: Sequence[str], vectors: Vectors | None = None
) -> ColumnTransformer:
    """As for linear models, and for each of the features `gappy` whether its value is missing."""
    encoding = for_linear_models(features, vectors)
    encoding.sparse_threshold = 0
    plain = (FeatureKind.NUMBER, FeatureKind.BOOLEAN)
    told = [feature.name for feature in features if feature.kind in plain and feature.name in gappy]
    if told:
        encoding.transformers.append(("missing", MissingIndicator(features="all"), told))
    return encoding


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _columns(
    features: Sequence[Feature],
    vectors: Mapping[str, Any] | None,
    *,
    numbers: Any,
    times: Any,
    categories: Any,
) -> ColumnTransformer:
    plain = [
        feature.name for feature in features if feature.kind in (FeatureKind.NUMBER, FeatureKind.BOOLEAN)
    ]
    in_time = [feature.name for feature in features if feature.kind is FeatureKind.TIME]
    named = [feature.name for feature in features if feature.kind is FeatureKind.CATEGORY]
    parts = [("numbers", numbers, plain), ("times", times, in_time), ("categories", categories, named)]
    parts += [(f"vectors {name}", vector, [name]) for name, vector in (vectors or {}).items()]
    return ColumnTransformer([part for part in parts if part[2]])
