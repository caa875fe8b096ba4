"""Pinned versions: read from arguments, known to the registry, and served whatever is promoted."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.unit.serving import small_models
from tests.unit.serving.versions.test_champions import Shelf

from pilotage.core import errors
from pilotage.core.registry import Registered, Registry
from pilotage.core.settings import Settings
from pilotage.serving.versions import pins
from pilotage.serving.versions.champions import Follower


@pytest.fixture
def shelf(installation: Settings, tmp_path: Path) -> Shelf:
    found = Shelf(installation, tmp_path / "shelf")
    for version in (1, 2):
        small_models.write(found.place / str(version), small_models.predictor(seed=version), installation)
    return found


def pinned(installation: Settings, shelf: Registry, version: int) -> Follower:
    quick = installation.model_copy(update={"poll_seconds": 0.01})
    return Follower("flights", quick, shelf, pin=version)


def test_versions_are_read_by_pilot() -> None:
    assert pins.parse(["flights=7", "fares=12"]) == {"flights": 7, "fares": 12}
    assert pins.parse([]) == {}


@pytest.mark.parametrize("text", ["7", "flights=", "=7", "flights=0", "flights=-1", "flights=x", "flights=²"])
def test_what_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(errors.SettingsError, match="expected a pilot's name") as caught:
        pins.parse([text])
    assert text in caught.value.message


def test_a_pilot_is_pinned_to_one_version() -> None:
    with pytest.raises(errors.SettingsError, match="version 7 and to 8"):
        pins.parse(["flights=7", "flights=8"])


def test_the_pinned_version_serves_whatever_is_promoted(installation: Settings, shelf: Shelf) -> None:
    follower = pinned(installation, shelf, 1)
    assert follower.reason == "Version 1 is being loaded."
    for champion in (2, 1, 2):
        shelf.live = {"champion": champion, "challenger": 2}
        follower.poll()
        assert follower.live is not None
        assert (follower.live.version, follower.reason, follower.trial) == (1, "", None)


def test_once_it_serves_the_registry_is_not_asked_again(
    installation: Settings, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = pinned(installation, shelf, 1)
    follower.poll()
    monkeypatch.setattr(shelf, "aliases", _never)
    monkeypatch.setattr(shelf, "version", _never)
    follower.poll()
    assert (follower.outage, follower.reason) == (False, "")


def test_it_waits_for_a_registry_that_is_down_at_the_start(installation: Settings, shelf: Shelf) -> None:
    follower = pinned(installation, shelf, 2)
    shelf.out_of_order = True
    for _ in range(3):
        follower.poll()
        assert follower.reason == "The registry cannot be read; the server's log says why."
        assert follower.live is None
        assert follower.failed is None, "it would wait longer and longer"
    shelf.out_of_order = False
    follower.poll()
    assert follower.live is not None
    assert follower.live.version == 2


def test_a_version_that_was_deleted_is_said_to_be_unknown(installation: Settings, shelf: Shelf) -> None:
    follower = pinned(installation, shelf, 9)
    follower.poll()
    assert follower.reason == "Version 9 could not be loaded (NotFound); the server's log says why."


def test_the_registry_must_know_the_version(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    small_models.register(installation, small_models.predictor())
    pins.require(installation, {"flights": 1})
    with pytest.raises(errors.NotFound, match="no version 2; it has 1"):
        pins.require(installation, {"flights": 2})


def test_a_registry_that_is_down_or_slow_holds_up_no_start(
    installation: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    monkeypatch.setattr(pins, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(Registry, "version", lambda *_: released.wait(30))
    pins.require(installation, {"flights": 1})
    released.set()
    assert "takes long" in caplog.text
    monkeypatch.setattr(pins, "_PATIENCE_SECONDS", 10)
    monkeypatch.setattr(Registry, "version", _down)
    pins.require(installation, {"flights": 1})
    assert "not ready until it can" in caplog.text


def _never(*_: object) -> Registered:
    raise AssertionError("the registry was asked")


def _down(*_: object) -> Registered:
    raise errors.Unavailable("The model registry did not answer.")
