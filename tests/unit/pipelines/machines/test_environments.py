"""Settings that go to another process come out there as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.core import settings
from pilotage.pipelines.machines import environments


def test_defaults_arrive_as_defaults(home: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that is not set once arrived as a file named `None`."""
    given = settings.load(home=home)
    for name, value in environments.variables(given).items():
        monkeypatch.setenv(name, value)
    assert settings.load() == given


def test_secrets_are_inherited_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_OIDC_CLIENT_SECRET", "xyzzy")
    found = environments.variables(settings.load())
    assert "PILOTAGE_OIDC_CLIENT_SECRET" not in found
    assert not [value for value in found.values() if "xyzzy" in value or "**" in value]
