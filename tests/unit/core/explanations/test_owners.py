"""Each encoded column is given to the feature it comes from, or to nobody when that is unclear."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler

from pilotage.core.encoders import TimeParts
from pilotage.core.explanations import owners

FRAME = pd.DataFrame(
    {
        "a": [1.0, 2.0, np.nan, 4.0, 5.0, 6.0],
        "a_b": ["x", "y", "z", "x", "x", "y"],
        "b": ["p", "q", "p", "q", "p", "p"],
        "at": pd.to_datetime(["2026-01-01"] * 5 + ["2026-02-03"]),
    }
)


def columns(*parts: tuple[Any, Any], **more: Any) -> ColumnTransformer:
    return ColumnTransformer([(str(n), made, chosen) for n, (made, chosen) in enumerate(parts)], **more)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        pytest.param(columns((OneHotEncoder(), ["a_b", "b"])), ["a_b"] * 3 + ["b"] * 2, id="one-hot"),
        pytest.param(
            columns((OneHotEncoder(drop="if_binary"), ["a_b", "b"])), ["a_b"] * 3 + ["b"], id="dropped"
        ),
        pytest.param(
            columns((OneHotEncoder(max_categories=2), ["a_b", "b"])), ["a_b"] * 2 + ["b"] * 2, id="rare"
        ),
        pytest.param(
            columns((OneHotEncoder(max_categories=2, drop="first"), ["a_b", "b"])),
            ["a_b", "b"],
            id="rare-dropped",
        ),
        pytest.param(
            columns((OrdinalEncoder(), ["b"]), ("passthrough", ["a"])), ["b", "a"], id="order-of-parts"
        ),
        pytest.param(
            columns((make_pipeline(TimeParts(), StandardScaler()), ["at"]), ("drop", ["b"])),
            ["at"] * 4,
            id="times",
        ),
        pytest.param(columns((SimpleImputer(), [0]), ("drop", ["b"])), ["a"], id="by-number"),
        pytest.param(
            columns((SimpleImputer(), ["a"]), remainder="passthrough"), ["a", "a_b", "b", "at"], id="rest"
        ),
        pytest.param(columns((SimpleImputer(add_indicator=True), ["a"])), None, id="indicator"),
        pytest.param(
            make_pipeline(columns((SimpleImputer(), ["a"])), PolynomialFeatures(2)), None, id="products"
        ),
        pytest.param(make_pipeline(columns((TimeParts(), ["at"])), PCA(2)), None, id="mixed"),
    ],
)
def test_owners_follow_the_encoding(encoder: Any, expected: list[str] | None) -> None:
    encoder.fit(FRAME)
    found = owners.find(encoder, tuple(map(str, FRAME)))
    assert found == (None if expected is None else tuple(expected))
    if found is not None:
        assert len(found) == encoder.transform(FRAME).shape[1]


def test_no_encoder_leaves_the_features() -> None:
    assert owners.find(None, ("a", "b")) == ("a", "b")
