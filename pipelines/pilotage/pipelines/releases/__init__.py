"""Releases: commits to the repository that says what runs where. Only this package touches git and forges.

`release` makes one, `revert` takes one back, `read` tells what git says, `diff` compares that with what
runs. All may be repeated. What a cluster does about a commit is not known here.
"""

from __future__ import annotations

from pilotage.pipelines.releases.differences import Difference, Running, Source, diff
from pilotage.pipelines.releases.readings import Released, read, read_all
from pilotage.pipelines.releases.releasing import Release, release, revert

__all__ = [
    "Difference",
    "Release",
    "Released",
    "Running",
    "Source",
    "diff",
    "read",
    "read_all",
    "release",
    "revert",
]
