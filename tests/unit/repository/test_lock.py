"""The lock file: what pip needs to install exactly what was resolved, and nothing about where from."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYTHONS = ("3.11", "3.12", "3.13")


LOCKS = ("requirements.lock", "optional.lock")
"""What everyone installs, and what is too large for that."""


def read_lines(lock: Path) -> list[str]:
    """One requirement with its hashes a line."""
    text = lock.read_text(encoding="utf-8")
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def read_lock(lock: Path) -> dict[str, list[Requirement]]:
    """Canonical name → the versions that are locked, each with its marker."""
    found: dict[str, list[Requirement]] = defaultdict(list)
    for line in read_lines(lock):
        requirement = Requirement(line.split("--hash", 1)[0].strip())
        found[canonicalize_name(requirement.name)].append(requirement)
    return dict(found)


@pytest.fixture(params=LOCKS)
def lock(request: pytest.FixtureRequest, repository: Path) -> Path:
    """Each lock file."""
    return repository / str(request.param)


@pytest.fixture
def lines(lock: Path) -> list[str]:
    return read_lines(lock)


@pytest.fixture
def locked(lock: Path) -> dict[str, list[Requirement]]:
    return read_lock(lock)


@pytest.fixture
def declared(repository: Path) -> list[Requirement]:
    """Everything pyproject.toml asks for but Pilotage itself."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]
    return [item for item in map(Requirement, texts) if item.name != project["name"]]


def applies(requirement: Requirement, python: str) -> bool:
    """Whether a requirement is meant for Linux on x86-64 with this Python."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


def test_every_requirement_is_one_version_with_hashes(lines: list[str]) -> None:
    shape = re.compile(r"[A-Za-z0-9._-]+==[^\s;]+( ; [^-]+(-[^-]+)*?)?(\s+--hash=sha256:[0-9a-f]{64})+")
    assert lines
    assert [line[:80] for line in lines if not shape.fullmatch(line)] == []


def test_it_says_nothing_about_where_packages_come_from(lines: list[str]) -> None:
    assert [line[:80] for line in lines if "://" in line or line.startswith("-") or " @ " in line] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_no_package_has_two_versions_on_one_python(locked: dict[str, list[Requirement]], python: str) -> None:
    counts = {name: sum(applies(item, python) for item in items) for name, items in locked.items()}
    assert {name: count for name, count in counts.items() if count > 1} == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_it_meets_what_pyproject_asks_for(repository: Path, declared: list[Requirement], python: str) -> None:
    everyone, optional = (read_lock(repository / name) for name in LOCKS)
    locked = optional | everyone
    unmet = []
    for wanted in (item for item in declared if applies(item, python)):
        have = [item for item in locked.get(canonicalize_name(wanted.name), []) if applies(item, python)]
        versions = [Version(next(iter(item.specifier)).version) for item in have]
        if not versions or not all(
            wanted.specifier.contains(version, prereleases=True) for version in versions
        ):
            unmet.append(f"{wanted} against {[str(version) for version in versions]}")
    assert unmet == [], "`make lock` resolves again"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_is_optional_has_the_versions_that_everyone_has(repository: Path, python: str) -> None:
    everyone, optional = (
        {
            name: {str(item.specifier) for item in items if applies(item, python)}
            for name, items in lock.items()
        }
        for lock in (read_lock(repository / name) for name in LOCKS)
    )
    shared = everyone.keys() & optional.keys()
    assert shared
    assert {name: optional[name] for name in shared if optional[name] != everyone[name]} == {}
