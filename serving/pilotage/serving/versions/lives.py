"""A loaded version: the model that answers, what is known of it, and that it can predict.

Loading happens in a thread of the follower, warms the version up and finds out
whether it can predict, so that no request does. Which version serves is not
decided here.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pilotage.core import embeddings, errors, forms, models
from pilotage.core.artifacts import Feature, Model
from pilotage.core.features import Columns
from pilotage.core.models import Answering
from pilotage.core.personal.replacements import Replacer
from pilotage.core.profiles import CategoryProfile, NumberProfile, ReferenceProfile
from pilotage.core.registry import Registered, Registry
from pilotage.core.registry.clients import INSIDE
from pilotage.core.settings import Settings
from pilotage.core.sheets import Layout
from pilotage.core.specs import EMBEDDED, FeatureKind
from pilotage.serving.versions import memory

if TYPE_CHECKING:
    from pilotage.core.artifacts import Artifact

ESTIMATORS = frozenset({"lightgbm", "pandas", "scipy", "shap", "sklearn", "skops", "xgboost"})
"""Libraries that trained models are loaded with; servers of inference forms do without."""
_SENTENCE = "An ordinary text, about as long as a sentence is."
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
"""A grey point, as PNG."""
_WARM_ROWS = (1, 8, 64)
"""Rows of the batches that a version predicts before it serves."""


@dataclass(frozen=True)
class Live:
    """A version that is loaded and has proved that it can predict."""

    registered: Registered
    predictor: Answering
    """The inference form where there is one, else the trained model."""
    profile: ReferenceProfile
    folder: Path | None = field(default=None, repr=False, compare=False)
    """The local folder of its files; None when it was not loaded from one."""
    replacer: Replacer | None = field(default=None, repr=False, compare=False)
    """Puts in the place of personal data what the training data had there; None where nothing is replaced."""
    since: float = field(default_factory=time.time, repr=False, compare=False)
    """When it was loaded, in seconds since the epoch."""

    @property
    def version(self) -> int:
        return self.registered.version

    @property
    def model(self) -> Model:
        return self.predictor.model

    @property
    def form(self) -> Artifact | None:
        """The inference form that answers; None when the trained estimator does."""
        return getattr(self.predictor, "form", None)

    @cached_property
    def features(self) -> dict[str, Feature]:
        """Features by name."""
        return {feature.name: feature for feature in self.model.features}

    @cached_property
    def layout(self) -> Layout:
        """Which counts its windows have."""
        return Layout.of_profile(self.profile, self.registered.name, self.version)

    @cached_property
    def typical(self) -> Columns:
        """One row of ordinary values: what warms the model up, and tells a bad model from a bad row."""
        return typical_row(self.model, self.profile)


def typical_row(model: Model, profile: ReferenceProfile) -> Columns:
    """One row with each feature's mean or most frequent value, missing where the profile has none."""
    return {feature.name: _typical(feature, profile.features.get(feature.name)) for feature in model.features}


def _typical(feature: Feature, profile: NumberProfile | CategoryProfile | None) -> np.ndarray:
    if feature.kind in EMBEDDED:
        return np.array([_SENTENCE if feature.kind is FeatureKind.TEXT else _PIXEL, None], dtype=object)[:1]
    if feature.kind is FeatureKind.CATEGORY:
        known = profile.categories if isinstance(profile, CategoryProfile) else ()
        column = np.empty(1, dtype=object)
        column[0] = known[0] if known else None
        return column
    moments = profile.moments if isinstance(profile, NumberProfile) else None
    if feature.kind is FeatureKind.TIME:
        value = (
            np.datetime64("NaT", "us") if moments is None else np.datetime64(int(moments.mean * 1e6), "us")
        )
        return np.array([value], dtype="datetime64[us]")
    mean = math.nan if moments is None else moments.mean
    return np.array([float(round(mean)) if feature.kind is FeatureKind.BOOLEAN and mean == mean else mean])


def load(registry: Registry, settings: Settings, registered: Registered) -> Live:
    """The version, loaded and warmed up.

    Raises:
        NotFound: its files are gone.
        UntrustedModel: the settings do not allow to load it.
        SettingsError: it hashes personal data, and the secret for it is not set or another one.
        MissingExtra: it has no inference form, and what it was trained with is not installed.
        ModelTooLarge: it takes more memory than one may.
        Failure: it loads but cannot predict.
    """
    folder = registry.folder(registered)
    what = f"Version {registered.version} of `{registered.name}`"
    return memory.load_within(settings, what, folder, lambda: _open(folder, settings, registered))


def _open(folder: Path, settings: Settings, registered: Registered) -> Live:
    model = Model.read(folder / INSIDE)
    encoders = embeddings.open_all(model.encoders, settings)
    live = Live(
        registered=registered,
        predictor=forms.open_form(folder, model) or _open_trained(folder, settings, registered),
        profile=ReferenceProfile.read(folder / INSIDE),
        folder=folder,
        replacer=Replacer.of(model.personal, settings, model.personal_key),
    )
    for rows in _WARM_ROWS:
        _warm(live, rows)
    del encoders  # whoever answers holds them
    return live


def _open_trained(folder: Path, settings: Settings, registered: Registered) -> Answering:
    try:
        return models.open_predictor(folder, settings)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in ESTIMATORS:
            raise
        raise errors.MissingExtra(
            f"Version {registered.version} of `{registered.name}` has no inference form that can be used, and"
            f" `{library}`, which its trained model needs, is not installed.",
            remedy='`pip install "pilotage[estimators]"`, or the image whose tag ends in `-estimators`.',
            package=library,
        ) from error


def _warm(live: Live, rows: int) -> None:
    """Have ordinary rows predicted, so that no request pays for what the first call makes."""
    registered = live.registered
    try:
        prediction = live.predictor.predict(
            {name: np.repeat(one, rows) for name, one in live.typical.items()}
        )
    except Exception as error:
        raise errors.Failure(
            f"Version {registered.version} of `{registered.name}` loads but cannot predict an ordinary row:"
            f" {type(error).__name__}: {error}.",
            remedy="Train it again, or roll back.",
        ) from error
    if len(prediction.predictions) != rows:
        raise errors.Failure(
            f"Version {registered.version} of `{registered.name}` gives {len(prediction.predictions)}"
            f" predictions for {rows} rows.",
            remedy="Correct the estimator and train again.",
        )
