"""What a commit says of its review: a trailer `Reviewed-by`, or that it merged what another person wrote."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

_SECONDS = 5
_FORMAT = "%ae%x00%ce%x00%cI%x00%P%x00%(trailers:key=Reviewed-by,valueonly,separator=%x2C)"


@dataclass(frozen=True)
class Review:
    """Who looked at a commit."""

    told: str
    at: datetime


@lru_cache(maxsize=256)
def of(folder: Path, revision: str) -> Review | None:
    """The review of a commit; None where it names nobody but its author, or the repository is not here."""
    if not re.fullmatch(r"[0-9a-f]{40,64}", revision):
        return None
    author, _, when, parents, named = _show(folder, revision)
    if not when:
        return None
    others = [part.strip() for part in named.split(",") if part.strip() and f"<{author}>" not in part]
    moment = datetime.fromisoformat(when)
    if others:
        return Review(f"{', '.join(others)} reviewed commit {revision[:12]} of {author}", moment)
    tip = parents.split()[1:2]
    writer = _show(folder, tip[0])[0] if tip else ""
    if writer and writer != author:
        return Review(f"{author} merged what {writer} wrote in commit {revision[:12]}", moment)
    return None


def _show(folder: Path, revision: str) -> list[str]:
    """Author, committer, time, parents and reviewers; empty texts where git has no such commit."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), "show", "-s", f"--format={_FORMAT}", revision],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return [""] * 5
    parts = done.stdout.strip("\n").split("\0") if done.returncode == 0 else []
    return parts if len(parts) == 5 else [""] * 5
