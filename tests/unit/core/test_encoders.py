"""The pieces that stored models need behave as scikit-learn's own do."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from pilotage.core.encoders import LabelEncoded, TimeParts


@given(st.lists(st.none() | st.datetimes(pd.Timestamp("1800-01-01"), pd.Timestamp("2200-01-01")), min_size=1))
def test_time_parts_agree_with_the_calendar(times: list[pd.Timestamp | None]) -> None:
    frame = pd.DataFrame({"t": pd.Series(times, dtype="datetime64[us]")})
    parts = TimeParts().fit(frame).transform(frame)
    for row, time in zip(parts, times, strict=True):
        if time is None:
            assert np.isnan(row).all()
        else:
            epoch = (pd.Timestamp(time).normalize() - pd.Timestamp("1970-01-01")).days
            assert row.tolist() == [epoch, time.month, time.weekday(), time.hour]


def test_time_parts_name_their_columns() -> None:
    frame = pd.DataFrame({"t": pd.Series(["2020-01-01"], dtype="datetime64[us]")})
    assert TimeParts().fit(frame).get_feature_names_out().tolist() == [
        "t.day",
        "t.month",
        "t.weekday",
        "t.hour",
    ]


def test_label_encoded_speaks_the_classes_of_its_target() -> None:
    features, target = [[0.0], [1.0], [2.0], [3.0]], np.array(["no", "no", "yes", "yes"])
    model = clone(LabelEncoded(LogisticRegression())).fit(features, target)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predict([[0.0], [3.0]]).tolist() == ["no", "yes"]
    assert model.predict_proba([[3.0]]).shape == (1, 2)
    assert model.score(features, target) == 1.0
