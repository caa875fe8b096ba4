"""What made a model besides its data: versions of packages, sources, the revision of the pilot's folder.

Nothing is installed or changed here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pilotage.core import bundles, storage
from pilotage.core.artifacts import ModelFormat

_ALWAYS = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy")
_BY_FORMAT = {ModelFormat.SKOPS: "skops", ModelFormat.PICKLE: "cloudpickle"}
_BY_MODULE = {"lightgbm": ("lightgbm",), "xgboost": ("xgboost-cpu", "xgboost"), "pilotage": ("pilotage",)}
_ROOMS = ("pilotage.core", "pilotage.components")
_GIT_SECONDS = 10


def python() -> str:
    """The version of Python, such as `3.11.9`."""
    return platform.python_version()


def requirements(estimator: Any, form: ModelFormat) -> tuple[str, ...]:
    """Exact requirements of a fitted estimator, from the versions that are installed; sorted."""
    names = {name: _version(name) for name in (*_ALWAYS, _BY_FORMAT[form])}
    modules = {type(part).__module__.partition(".")[0] for part in _parts(estimator)}
    for module in sorted(modules & set(_BY_MODULE)):
        names.update({name: _version(name) for name in _BY_MODULE[module]})
    return tuple(sorted(f"{name}=={version}" for name, version in names.items() if version))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _parts(estimator: Any) -> Iterable[Any]:
    yield estimator
    if hasattr(estimator, "get_params"):
        yield from estimator.get_params(deep=True).values()


def code_digest(own: Iterable[Path]) -> str:
    """SHA-256 over the sources of Pilotage's core and components and the pilot's `own` files."""
    files = [path for room in _ROOMS for path in _sources(room)]
    digest = hashlib.sha256()
    for name, path in sorted([*files, *((path.name, path) for path in own)]):
        digest.update(f"{name}\0{storage.file_digest(path)}\0".encode())
    return digest.hexdigest()


def _sources(room: str) -> list[tuple[str, Path]]:
    spec = importlib.util.find_spec(room)
    folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    return [
        (f"{room}/{path.relative_to(folder).as_posix()}", path)
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
    ]


def revision(folder: Path) -> str | None:
    """The git commit of a pilot's folder, with `+changes` when it has uncommitted ones; None without git.

    Where the folder is a bundle's, it is that of the folder that was packed.
    """
    packed = folder / bundles.REVISION
    if packed.is_file():
        return packed.read_text(encoding="utf-8").strip() or None
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}+changes" if _git(folder, "status", "--porcelain", "--", ".") else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
