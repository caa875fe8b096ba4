"""Hashes that cost little, so that signing in a hundred times does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from pilotage.console.access import passwords


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hasher itself, with less memory and time."""
    passwords._nobodys.cache_clear()
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    yield
    passwords._nobodys.cache_clear()
