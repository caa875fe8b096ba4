"""Loaded versions, made once, and a plane around them without a registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.serving import small_models

from pilotage.core import settings
from pilotage.core.metrics import Task
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.serving.inference.planes import DataPlane
from pilotage.serving.limits import Limits
from pilotage.serving.records.recorders import Recorder
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live


@pytest.fixture(scope="session")
def live() -> Live:
    return small_models.live()


@pytest.fixture(scope="session")
def live_regression() -> Live:
    return small_models.live(Task.REGRESSION)


@pytest.fixture
def installation(home: Path) -> Settings:
    return settings.load(home=home)


@pytest.fixture
def storage(installation: Settings) -> Storage:
    return Storage(installation.storage)


MakeRecorder = Callable[..., Recorder]


@pytest.fixture
def make_recorder(installation: Settings, storage: Storage) -> MakeRecorder:
    """Recorders that count when told to; nothing runs in the background."""

    def make(
        capacity: int = 10_000,
        hours: float = 1,
        share: float = 1.0,
        feature_sample: int = 500,
        **hooks: object,
    ) -> Recorder:
        sampled = settings.load(home=installation.home, row_sample=share, feature_sample=feature_sample)
        length = timedelta(hours=hours)
        return Recorder(small_models.NAME, length, sampled, storage, capacity, **hooks)  # type: ignore[arg-type]

    return make


@pytest.fixture
def recorder(make_recorder: MakeRecorder) -> Recorder:
    return make_recorder()


@pytest.fixture
def follower(installation: Settings, live: Live) -> Follower:
    found = Follower(small_models.NAME, installation, Registry(installation))
    found.live = live
    return found


@pytest.fixture
def plane(follower: Follower, recorder: Recorder) -> DataPlane:
    return DataPlane(follower, recorder, Limits(rows=100))
