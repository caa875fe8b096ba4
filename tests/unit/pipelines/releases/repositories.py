"""Git repositories to change, looked at by git itself."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pilotage.core.settings import Settings
from pilotage.pipelines.releases import changes, openings, trees
from pilotage.pipelines.releases.changes import Made
from pilotage.pipelines.releases.messages import Message
from pilotage.pipelines.releases.proposals import Planner, Wish

GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")
PATH = "environments/production/flights/values.yaml"
_NUMBERS = itertools.count()


def git(folder: Path, *words: str) -> str:
    """What a git command prints."""
    done = subprocess.run(
        [*GIT, "-C", str(folder), *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rstrip("\n")


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    """A repository with a working tree on branch main, and one commit of `files`."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    commit(folder, files, "Begin")
    return folder


def commit(folder: Path, files: Mapping[str, str], message: str) -> str:
    """Write and commit files in a working tree, as people do; returns the commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def bare(folder: Path, files: Mapping[str, str]) -> Path:
    """A bare repository on branch main with one commit of `files`."""
    made = tree(folder.with_name(f"{folder.name}-from-{next(_NUMBERS)}"), files)
    subprocess.run([*GIT, "clone", "-q", "--bare", str(made), str(folder)], check=True, capture_output=True)
    git(folder, "remote", "remove", "origin")
    return folder


def write(settings: Settings, text: str, *, by: str = "ada", path: str = PATH) -> Made:
    """Commit `text` as the file at `path`, unless it says so already."""

    def wish(sight: object, head: object) -> Wish | None:
        held = None
        if head is not None:
            held = trees.read(sight.store, sight.commit(head).tree, path)  # type: ignore[attr-defined]
        if held == text.encode():
            return None
        return Wish(text.encode(), Message(f"Write {text.strip()}", "Why", {"By": by}), 1, None)

    place = openings.place_of(settings)
    with openings.open_repository(settings, place, writing=True) as repository:
        planner = Planner(settings.release_branch, path, wish)
        return changes.make(settings, repository, [settings.release_branch], planner, by=by)


def log(folder: Path, branch: str = "main") -> list[str]:
    """Subjects of commits, oldest first."""
    return git(folder, "log", "--reverse", "--format=%s", branch).splitlines()


def show(folder: Path, path: str = PATH, branch: str = "main") -> str:
    """A file at a branch's head, byte for byte."""
    done = subprocess.run(
        [*GIT, "-C", str(folder), "show", f"{branch}:{path}"], capture_output=True, check=True
    )
    return done.stdout.decode()


def check(folder: Path) -> None:
    """Git finds nothing wrong, and nothing of ours is left behind."""
    git(folder, "fsck", "--full", "--strict")
    own = folder / ".git" if (folder / ".git").is_dir() else folder
    left = [path for path in own.rglob("*") if path.name.endswith(".lock") and path.name != "pilotage.lock"]
    assert left == [], left
