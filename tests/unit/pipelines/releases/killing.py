"""Writes a commit again and again, each time killed one step later, and looks what a repeat makes of it.

A step is anything that Python tells its audit hooks of before it does it: opening, renaming, linking or
removing a file. A program of its own, for it forks.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[4]))

from tests.unit.pipelines.releases import repositories

from pilotage.core import settings

STEPS = {
    "open",
    "os.rename",
    "os.link",
    "os.remove",
    "os.mkdir",
    "os.chmod",
    "os.truncate",
    "os.utime",
    "fcntl.flock",
}
FILES = {"README.md": "x\n", repositories.PATH: "zero\n"}


def changes_something(event: str, values: tuple[Any, ...], repository: Path) -> bool:
    """Whether what is about to be done is seen in the repository."""
    if event != "open":
        return event in STEPS
    path, mode, _ = values
    return isinstance(path, str | bytes) and mode != "r" and str(repository) in os.fsdecode(path)


def killed_at(step: int, repository: Path) -> bool:
    """Write in a child that is killed before its step `step`; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = step

        def hook(event: str, values: tuple[Any, ...]) -> None:
            nonlocal left
            if changes_something(event, values, repository):
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        sys.addaudithook(hook)
        try:
            repositories.write(settings.load(release_to=str(repository)), "one\n")
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def main(folder: Path, kind: str) -> None:
    """Print how often it was killed, and after which steps something was wrong."""
    original = getattr(repositories, kind)(folder / "original", FILES)
    step, wrong = 0, []
    while True:
        repository = folder / "repository"
        shutil.copytree(original, repository)
        if not killed_at(step, repository):
            break
        try:
            repositories.git(repository, "fsck", "--full")  # also before anything is repaired
            repositories.write(settings.load(release_to=str(repository)), "one\n")
            repositories.check(repository)
            found = repositories.log(repository)
            assert found == ["Begin", "Write one"], found
            if kind == "tree":
                status = repositories.git(repository, "status", "--porcelain")
                assert status == "", status
        except BaseException as error:
            wrong.append(f"{step}: {type(error).__name__}: {error}")
        shutil.rmtree(repository)
        step += 1
    json.dump({"killed": step, "wrong": wrong}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
