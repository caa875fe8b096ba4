"""What no tracked file may hold, and what the built distribution must."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ("core", "components", "pipelines", "serving", "console")
REGISTRIES = re.compile(
    r"py[p]i\.(?:org|io|python\.org)|python[h]osted|npm[j]s\.(?:org|com)|debian[.](?:org|net)/debian|proxy[.]golang"
)
MACHINES = re.compile(r"/(?:work)/main|/(?:opt)/(?:wheels|pypi)|/(?:root)/\.|/(?:home)/[a-z]+/")
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b|raise NotImplemented[E]rror")


def tracked(repository: Path) -> Iterator[tuple[str, str]]:
    """Path and text of every tracked text file that is there."""
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        try:
            yield name, (repository / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def matches(repository: Path, pattern: re.Pattern[str], *suffixes: str) -> list[str]:
    """`path:line: match` wherever a tracked file matches."""
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for name, text in tracked(repository)
        if not suffixes or name.endswith(suffixes)
        for match in pattern.finditer(text)
    ]


def test_no_file_names_a_package_registry(repository: Path) -> None:
    assert matches(repository, REGISTRIES) == []


def test_no_file_names_a_folder_of_one_machine(repository: Path) -> None:
    assert matches(repository, MACHINES) == []


def test_no_code_is_left_unfinished(repository: Path) -> None:
    assert matches(repository, UNFINISHED, ".py", ".toml", ".yaml", "Makefile", ".ci/run") == []


def test_the_wheel_holds_every_file_of_every_room(repository: Path, tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("pilotage-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    files = ((room, path) for room in ROOMS for path in (repository / room / "pilotage").rglob("*"))
    sources = {
        path.relative_to(repository / room).as_posix()
        for room, path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources - inside == set()
    assert {name for name in inside if name.startswith("pilotage/pilots/") and name.endswith("pilot.yaml")}
    assert "pilotage/__init__.py" not in inside
