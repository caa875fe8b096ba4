"""The version that serves: loading it, and following the registry's `champion` alias.

A new champion is loaded and warmed up in a thread of its own and then takes the
place of the old one by one assignment; requests in progress finish on the
version they began with. What cannot be loaded is reported and tried again
later, while the old version stays. Requests and HTTP are not known here.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pilotage.core import errors, models
from pilotage.core.artifacts import Feature, Model
from pilotage.core.features import Columns
from pilotage.core.models import Answering, Predictor
from pilotage.core.profiles import CategoryProfile, NumberProfile, ReferenceProfile
from pilotage.core.registry import Alias, Registered, Registry
from pilotage.core.settings import Settings
from pilotage.core.specs import FeatureKind
from pilotage.serving import problems

if TYPE_CHECKING:
    from pilotage.core.artifacts import Artifact

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 60.0
_WARM_ROWS = (1, 8, 64)
"""Rows of the batches that a version predicts before it serves."""


class Trained:
    """The trained estimator of a version, loaded when it is first asked for and kept."""

    def __init__(self, open_predictor: Callable[[], Predictor]) -> None:
        self._open = open_predictor
        self._lock = threading.Lock()
        self._found: Predictor | None = None

    def predictor(self) -> Predictor:
        """The predictor; several threads that ask at once wait for one load."""
        with self._lock:
            if self._found is None:
                self._found = self._open()
            return self._found


@dataclass(frozen=True)
class Live:
    """A version that is loaded and has proved that it can predict."""

    registered: Registered
    predictor: Answering
    """The inference form where there is one, else the trained model."""
    profile: ReferenceProfile
    source: Trained | None = field(default=None, repr=False, compare=False)
    """Where the trained estimator comes from when `predictor` is a form."""

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

    def trained(self) -> Predictor:
        """The trained estimator, which may take seconds to load; safe to call from any thread.

        Raises:
            NotFound: its files are gone.
            UntrustedModel: the settings do not allow to load it.
        """
        if isinstance(self.predictor, Predictor):
            return self.predictor
        if self.source is None:
            raise errors.NotFound(f"Version {self.version} was loaded without its trained estimator.")
        return self.source.predictor()

    @cached_property
    def features(self) -> dict[str, Feature]:
        """Features by name."""
        return {feature.name: feature for feature in self.model.features}

    @cached_property
    def typical(self) -> Columns:
        """One row of ordinary values: what warms the model up, and tells a bad model from a bad row."""
        return typical_row(self.model, self.profile)


def typical_row(model: Model, profile: ReferenceProfile) -> Columns:
    """One row with each feature's mean or most frequent value, missing where the profile has none."""
    return {feature.name: _typical(feature, profile.features.get(feature.name)) for feature in model.features}


def _typical(feature: Feature, profile: NumberProfile | CategoryProfile | None) -> np.ndarray:
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
        Failure: it loads but cannot predict.
    """
    folder = registry.folder(registered)
    live = Live(
        registered=registered,
        predictor=models.open_predictor(folder, settings),
        profile=registry.profile(registered),
        source=Trained(lambda: models.open_predictor(folder, settings)),
    )
    for rows in _WARM_ROWS:
        _warm(live, rows)
    return live


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


@dataclass(frozen=True)
class FailedLoad:
    """A champion that could not be loaded."""

    version: int
    kind: str
    """Of the error."""
    attempts: int
    retry_at: float
    """By `time.monotonic()`."""


class Follower:
    """Keeps `live` at the pilot's champion."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        registry: Registry,
        *,
        on_swap: Callable[[Live], None] = lambda live: None,
        on_failure: Callable[[int], None] = lambda version: None,
    ) -> None:
        self.name = name
        self.live: Live | None = None
        self.failed: FailedLoad | None = None
        self.outage = False
        """Whether the registry could not be read the last time."""
        self._settings = settings
        self._registry = registry
        self._on_swap = on_swap
        self._on_failure = on_failure
        self._stopped = threading.Event()
        self._polled = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    @property
    def reason(self) -> str:
        """Why nothing, or not the newest champion, is live; empty when all is well.

        Told to whoever asks, so addresses and paths are left to the log.
        """
        if self.failed is not None:
            kind = self.failed.kind
            return f"Version {self.failed.version} could not be loaded ({kind}); the server's log says why."
        if self.outage:
            return "The registry cannot be read; the server's log says why."
        if self.live is None:
            polled = self._polled.is_set()
            return f"Pilot `{self.name}` has no champion yet." if polled else "The champion is being loaded."
        return ""

    @property
    def versions(self) -> tuple[Live, ...]:
        """Every version that is loaded, the champion first."""
        return () if self.live is None else (self.live,)

    def at(self, version: str) -> Live | None:
        """The loaded version of that number; None when it is not loaded here."""
        return next((live for live in self.versions if str(live.version) == version), None)

    def choose(self, ids: Sequence[str | None] | None = None) -> Live:
        """The version that answers a request with these ids.

        Raises:
            Problem: nothing is live.
        """
        live = self.live
        if live is None:
            raise problems.not_ready(self.reason)
        return live

    @property
    def shadow(self) -> Live | None:
        """The version that sees a copy of what the champion answers; mostly None."""
        return None

    def observed(
        self,
        live: Live,
        rows: int,
        seconds: float,
        failed: bool,
        *,
        requests: int = 1,
        scores: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Take note of one call of a version's model, which costs nothing while no rollout runs.

        Args:
            live: the version that was called.
            rows: of the call.
            seconds: that the model took.
            failed: whether the version failed on rows that the champion can take.
            requests: that were answered together.
            scores: of the rows, `Prediction.score`, where the call did not fail.
        """

    def start(self, wait_seconds: float) -> None:
        """Begin to follow; returns when the first look at the registry is done, or after `wait_seconds`."""
        self._thread.start()
        self._polled.wait(wait_seconds)

    def stop(self) -> None:
        """End following; what is live stays."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            self.poll()
            self._stopped.wait(self._settings.poll_seconds)

    def poll(self) -> None:
        """Look at the registry once and load its champion if that is not live; never raises."""
        try:
            champion = self._registry.aliases(self.name).get(Alias.CHAMPION)
        except Exception as error:
            if not self.outage:
                logger.warning("the registry cannot be read, keeping what is live: %s", error)
            self.outage = True
        else:
            self.outage = False
            self._take(champion)
        self._polled.set()

    def _take(self, champion: int | None) -> None:
        if champion is None or (self.live is not None and self.live.version == champion):
            self.failed = None
            return
        failed = self.failed
        if failed is not None and failed.version == champion and time.monotonic() < failed.retry_at:
            return
        try:
            live = load(self._registry, self._settings, self._registry.version(self.name, champion))
        except Exception as error:
            self._fail(champion, error)
            return
        self._on_swap(live)
        self.live, self.failed = live, None
        logger.info("version %d of %s is live", champion, self.name)

    def _fail(self, version: int, error: Exception) -> None:
        before = self.failed.attempts if self.failed and self.failed.version == version else 0
        wait = min(self._settings.poll_seconds * 2.0**before, _LONGEST_WAIT_SECONDS)
        self.failed = FailedLoad(version, type(error).__name__, before + 1, time.monotonic() + wait)
        self._on_failure(version)
        logger.error(
            "version %d of %s could not be loaded, trying again in %.0f s: %s",
            version,
            self.name,
            wait,
            error,
        )
