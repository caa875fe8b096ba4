"""The version of the code that a step's outputs depend on: ours, the pilot's own and the key libraries'."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from pilotage.core.specs import PilotSpec, PythonSource

_ROOMS = ("pilotage.core", "pilotage.components")
_LIBRARIES = (
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "scikit-learn",
    "great-expectations",
    "skops",
    "optuna",
    "lightgbm",
    "xgboost-cpu",
    "xgboost",
)


@cache
def installed() -> str:
    """SHA-256 over the sources of the rooms that steps run and the versions of what they compute with."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        spec = importlib.util.find_spec(room)
        for place in spec.submodule_search_locations or () if spec else ():
            _add_sources(digest, Path(place), Path(place).rglob("*.py"))
    for library in _LIBRARIES:
        digest.update(f"{library}={_version(library)}\n".encode())
    return digest.hexdigest()


def own(spec: PilotSpec, folder: Path) -> str:
    """SHA-256 over the Python files beside pilot.yaml when the pilot brings code; empty when it brings none.

    A module may import its neighbours, so all of them count.
    """
    if not (isinstance(spec.data.source, PythonSource) or ":" in spec.train.estimator):
        return ""
    digest = hashlib.sha256()
    _add_sources(digest, folder, _visible_sources(folder))
    return digest.hexdigest()


def _visible_sources(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.py")
    for child in folder.iterdir():
        if child.is_dir() and child.name.isidentifier() and not child.name.startswith("_"):
            yield from child.rglob("*.py")


def _add_sources(digest: hashlib._Hash, root: Path, files: Iterator[Path]) -> None:
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""
