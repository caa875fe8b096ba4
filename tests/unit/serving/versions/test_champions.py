"""The follower takes a champion that works and keeps the old one otherwise."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serving import small_models

from pilotage.core import errors, models
from pilotage.core.artifacts import Model
from pilotage.core.models import Predictor
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings
from pilotage.serving.versions import lives
from pilotage.serving.versions.champions import Follower
from pilotage.serving.versions.lives import Live


class Shelf(Registry):
    """A registry of model folders, without a store behind it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings)
        self.place = folder
        self.live: dict[str, int] = {}
        self.out_of_order = False

    def aliases(self, name: str) -> dict[str, int]:
        if self.out_of_order:
            raise errors.Unavailable("The model registry did not answer.")
        return self.live

    def version(self, name: str, version: int) -> Registered:
        if self.out_of_order:
            raise errors.Unavailable("The model registry did not answer.")
        if not (self.place / str(version)).exists():
            raise errors.NotFound(f"Pilot `{name}` has no version {version}.")
        location = str(self.place / str(version))
        return Registered(name, version, "run", location, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def shelf(installation: Settings, tmp_path: Path) -> Shelf:
    found = Shelf(installation, tmp_path / "shelf")
    for version in (1, 2):
        small_models.write(found.place / str(version), small_models.predictor(seed=version), installation)
    return found


@pytest.fixture
def swaps() -> list[int]:
    return []


@pytest.fixture
def follower(installation: Settings, shelf: Shelf, swaps: list[int]) -> Follower:
    quick = installation.model_copy(update={"poll_seconds": 0.01})
    return Follower(
        "flights",
        quick,
        shelf,
        on_swap=lambda live: swaps.append(live.version),
        on_failure=lambda version: swaps.append(-version),
    )


def test_it_follows_the_alias_forward_and_back(follower: Follower, shelf: Shelf, swaps: list[int]) -> None:
    follower.poll()
    assert (follower.live, follower.reason) == (None, "Pilot `flights` has no champion yet.")
    for version in (1, 1, 2, 1):
        shelf.live = {"champion": version, "challenger": 9}
        follower.poll()
        assert follower.live is not None
        assert (follower.live.version, follower.reason) == (version, "")
    assert swaps == [1, 2, 1]


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one(
    follower: Follower, shelf: Shelf, swaps: list[int]
) -> None:
    shelf.live = {"champion": 1}
    follower.poll()
    (shelf.place / "2" / "model.skops").write_bytes(b"broken")
    shelf.live = {"champion": 2}
    follower.poll()
    assert follower.live is not None
    assert follower.live.version == 1
    assert "Version 2 could not be loaded" in follower.reason
    assert str(shelf.place) not in follower.reason, "strangers learn where files are"
    assert swaps == [1, -2]
    shelf.live = {"champion": 1}
    follower.poll()
    assert follower.reason == ""


def test_a_failed_load_is_tried_again_less_and_less_often(
    follower: Follower, shelf: Shelf, installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    shelf.live = {"champion": 3}
    attempts = []
    for step in range(200):
        now = step * 0.01
        follower.poll()
        assert follower.failed is not None
        attempts.append(follower.failed.attempts)
    assert attempts[-1] == 8
    small_models.write(shelf.place / "3", small_models.predictor(), installation)
    now = 1000.0
    follower.poll()
    assert follower.live is not None
    assert follower.live.version == 3


def test_a_registry_that_does_not_answer_changes_nothing(follower: Follower, shelf: Shelf) -> None:
    shelf.out_of_order = True
    follower.poll()
    assert follower.reason == "The registry cannot be read; the server's log says why."
    shelf.out_of_order = False
    shelf.live = {"champion": 1}
    follower.poll()
    shelf.out_of_order = True
    follower.poll()
    assert follower.live is not None
    assert follower.live.version == 1
    shelf.out_of_order = False
    follower.poll()
    assert follower.reason == ""


def test_its_thread_polls_until_it_is_stopped(follower: Follower, shelf: Shelf) -> None:
    shelf.live = {"champion": 1}
    follower.start(wait_seconds=20)
    assert follower.live is not None
    shelf.live = {"champion": 2}
    for _ in range(500):
        if follower.live.version == 2:
            break
        follower._stopped.wait(0.02)
    follower.stop()
    assert follower.live.version == 2


def test_a_model_that_cannot_predict_is_not_taken(
    shelf: Shelf, installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_models.predictor()
    broken = Predictor(make_broken(), made.model)
    monkeypatch.setattr(models, "open_predictor", lambda folder, settings: broken)
    with pytest.raises(errors.Failure, match="cannot predict an ordinary row: ValueError: no"):
        lives.load(shelf, installation, shelf.version("flights", 1))


def make_broken() -> object:
    class Broken:
        def predict_proba(self, frame: object) -> object:
            raise ValueError("no")

    return Broken()


def test_the_typical_row_has_ordinary_values(live: Live) -> None:
    row = live.typical
    assert 500 < row["distance"][0] < 2500
    assert row["carrier"][0] in {"AA", "UA", "WN"}
    assert row["holiday"][0] in {0.0, 1.0}
    assert str(row["bought"][0]).startswith("2025-1")


def test_the_typical_row_is_missing_where_training_saw_nothing(live: Live) -> None:
    empty = ReferenceProfile(
        pilot="flights", snapshot="0" * 64, rows=1, features={}, score=live.profile.score
    )
    model: Model = live.model
    row = lives.typical_row(model, empty)
    assert np.isnan(row["distance"][0])
    assert row["carrier"][0] is None
    assert np.isnan(row["holiday"][0])
    assert np.isnat(row["bought"][0])


def test_a_version_whose_libraries_are_not_installed_says_what_to_install(
    follower: Follower, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the light serving image, for a version without an inference form."""
    monkeypatch.setitem(sys.modules, "skops.io", None)
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.delitem(sys.modules, "pilotage.core.safes", raising=False)
    monkeypatch.delattr("pilotage.core.safes", raising=False)
    shelf.live = {"champion": 1}
    follower.poll()
    assert follower.failed is not None
    assert (follower.live, follower.failed.kind) == (None, "MissingExtra")
    assert "Version 1 of `flights` has no inference form that can be used, and `skops`" in follower.reason
    assert 'pip install "pilotage[estimators]"' in follower.reason


def test_a_module_of_the_pilots_own_that_is_missing_is_no_missing_extra(
    follower: Follower, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Predictor:
        raise ModuleNotFoundError("No module named 'scoring'", name="scoring")

    monkeypatch.setattr(models, "open_predictor", missing)
    shelf.live = {"champion": 1}
    follower.poll()
    assert follower.failed is not None
    assert follower.failed.kind == "ModuleNotFoundError"
