"""Loads a module of an example pilot by its path, as ingest does, without touching `sys.path`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PILOTS = Path(__file__).parents[3] / "pilots"


def _load(pilot: str, module: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{module}", PILOTS / pilot / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="session")
def example() -> Callable[[str, str], ModuleType]:
    """`example(pilot, module)`: that module of that pilot."""
    return _load


@pytest.fixture(scope="session")
def pilots_folder() -> Path:
    """The folder of the example pilots."""
    return PILOTS
