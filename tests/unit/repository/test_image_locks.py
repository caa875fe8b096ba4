"""The images' locks are requirements.lock's versions and hashes, of what each image's extras ask for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = {
    "components": ("components", "s3"),
    "serving": ("serving", "tracing", "s3"),
    "estimators": ("serving", "estimators", "tracing", "s3"),
    "console": ("console", "postgresql", "tracing", "s3"),
}
HEAVY = {"mlflow", "pandas", "scikit-learn", "scipy", "shap", "numba", "lightgbm", "xgboost-cpu", "kfp"}
ENVIRONMENT = {
    "python_version": "3.13",
    "python_full_version": "3.13.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "os_name": "posix",
}


def read(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of each package that is locked for the images' Python."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        text, *hashes = line.split(" --hash=")
        if not text.strip():
            continue
        requirement = Requirement(text.strip())
        if requirement.marker is None or requirement.marker.evaluate(ENVIRONMENT):
            version = next(iter(requirement.specifier)).version
            found[canonicalize_name(requirement.name)] = version, frozenset(one.strip() for one in hashes)
    return found


def wanted(repository: Path, extras: tuple[str, ...]) -> set[str]:
    """What pyproject.toml asks for with these extras, our own extras among them followed."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names: set[str] = set()
    waiting = [Requirement(text) for text in project["dependencies"]]
    waiting += [Requirement(f"pilotage[{','.join(extras)}]")]
    while waiting:
        item = waiting.pop()
        if item.marker is not None and not item.marker.evaluate(ENVIRONMENT):
            continue
        if item.name == "pilotage":
            texts = [text for extra in item.extras for text in project["optional-dependencies"][extra]]
            waiting += [Requirement(text) for text in texts]
        else:
            names.add(canonicalize_name(item.name))
    return names


@pytest.mark.parametrize("lock", ["tools", *EXTRAS])
def test_an_image_has_the_versions_of_every_other_installation(repository: Path, lock: str) -> None:
    whole = read(repository / "requirements.lock")
    found = read(repository / "infra" / "images" / "locks" / f"{lock}.lock")
    there = found if lock != "tools" else {name: found[name] for name in found.keys() & whole.keys()}
    assert {"pip", "hatchling"} <= there.keys() or lock != "tools"
    assert {name: whole.get(name) for name in there} == there, "`make lock` resolves again"
    assert all(hashes for _, hashes in found.values())


@pytest.mark.parametrize("lock", EXTRAS)
def test_an_image_has_what_its_extras_ask_for(repository: Path, lock: str) -> None:
    found = read(repository / "infra" / "images" / "locks" / f"{lock}.lock")
    assert wanted(repository, EXTRAS[lock]) - set(found) == set()


@pytest.mark.parametrize("lock", ["tools", *EXTRAS])
def test_a_lock_says_nothing_about_where_packages_come_from(repository: Path, lock: str) -> None:
    text = (repository / "infra" / "images" / "locks" / f"{lock}.lock").read_text(encoding="utf-8")
    assert re.findall(r"\S*://\S*|^--?\w.*$", text, re.MULTILINE) == []


def test_the_model_servers_image_has_nothing_that_trains(repository: Path) -> None:
    assert HEAVY & set(read(repository / "infra" / "images" / "locks" / "serving.lock")) == set()
