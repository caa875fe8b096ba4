"""Background rows have the profile's distributions and the columns' types."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.core.explanations import explained_models
from tests.unit.serving import small_models

from pilotage.core import profiles
from pilotage.core.artifacts import Feature
from pilotage.core.explanations import backgrounds
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.specs import FeatureKind


@pytest.fixture
def profile() -> ReferenceProfile:
    columns, _ = explained_models.table()
    found = {
        feature.name: profiles.profile_column(feature, columns[feature.name])
        for feature in small_models.FEATURES
    }
    return small_models.profile(small_models.predictor()).model_copy(update={"features": found})


def test_each_feature_has_the_profiles_distribution(profile: ReferenceProfile) -> None:
    columns, _ = explained_models.table()
    drawn = backgrounds.draw(small_models.FEATURES, profile, 1000)
    for name, column in columns.items():
        assert drawn[name].dtype == column.dtype
    assert np.nanmean(drawn["distance"]) == pytest.approx(np.nanmean(columns["distance"]), rel=0.03)
    assert np.isnan(drawn["distance"]).mean() == pytest.approx(
        np.isnan(columns["distance"]).mean(), abs=0.005
    )
    assert set(drawn["carrier"]) <= {"AA", "UA", "WN", None}
    assert np.mean(drawn["carrier"] == "UA") == pytest.approx(np.mean(columns["carrier"] == "UA"), abs=0.005)
    assert set(drawn["holiday"][~np.isnan(drawn["holiday"])]) == {0.0, 1.0}
    assert np.nanmin(columns["bought"]) <= np.nanmin(drawn["bought"]) <= np.nanmax(drawn["bought"])
    assert np.nanmax(drawn["bought"]) <= np.nanmax(columns["bought"])


def test_features_are_independent_and_draws_repeat(profile: ReferenceProfile) -> None:
    drawn = backgrounds.draw(small_models.FEATURES, profile, 1000)
    again = backgrounds.draw(small_models.FEATURES, profile, 1000)
    np.testing.assert_array_equal(drawn["distance"], again["distance"])
    both = ~np.isnan(drawn["distance"]) & ~np.isnan(drawn["holiday"])
    assert abs(np.corrcoef(drawn["distance"][both], drawn["holiday"][both])[0, 1]) < 0.1


def test_what_has_no_values_is_missing() -> None:
    wanted = (
        Feature(name="number", kind=FeatureKind.NUMBER),
        Feature(name="category", kind=FeatureKind.CATEGORY),
        Feature(name="time", kind=FeatureKind.TIME),
        Feature(name="unknown", kind=FeatureKind.NUMBER),
    )
    nothing = np.array([np.nan, np.nan])
    found = {
        "number": profiles.profile_numbers(nothing),
        "category": profiles.profile_categories(np.array([None, None], dtype=object)),
        "time": profiles.profile_numbers(nothing),
    }
    made = small_models.profile(small_models.predictor()).model_copy(update={"features": found})
    drawn = backgrounds.draw(wanted, made, 5)
    assert np.isnan(drawn["number"]).all()
    assert np.isnan(drawn["unknown"]).all()
    assert np.isnat(drawn["time"]).all()
    assert drawn["category"].tolist() == [None] * 5
