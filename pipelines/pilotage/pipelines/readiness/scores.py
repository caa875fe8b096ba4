"""What a judgement of a pilot's readiness consists of. Nothing is judged here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from pilotage.core.artifacts.bases import Part
from pilotage.pipelines.readiness.rubrics import Section


class How(StrEnum):
    """How a point was earned."""

    NONE = "none"
    MANUAL = "manual"
    """A person vouches for it, for some time."""
    AUTOMATED = "automated"


class Means(StrEnum):
    """What `next` is."""

    NONE = ""
    """Nothing is missing."""
    COMMAND = "command"
    YAML = "yaml"
    """A fragment of pilot.yaml: keys to add or change; gates and excluded columns are added."""
    SETTING = "setting"
    """Of the installation: a variable, and the file that it names."""


class Evidence(Part):
    """What Pilotage holds that speaks for a test."""

    kind: str
    """`run`, `report`, `scorecard`, `version`, `window`, `audit`, `proof`, `note`, `rollout`, …"""
    text: str
    link: str = ""
    """Page of the console that shows it."""
    at: AwareDatetime | None = None


class Test(Part):
    """One test of the rubric."""

    __test__ = False  # pytest is not to collect it

    id: str
    title: str
    points: Annotated[float, Field(ge=0, le=1)]
    how: How
    evidence: tuple[Evidence, ...] = ()
    """Never empty where there is a point."""
    missing: str = ""
    """Why there is no whole point, in words."""
    next: str = ""
    """What would earn it: a command, or a fragment of pilot.yaml."""
    means: Means = Means.NONE
    until: AwareDatetime | None = None
    """When a note ends."""


class SectionScore(Part):
    """Seven tests and the sum of their points."""

    name: Section
    title: str
    score: float
    tests: tuple[Test, ...]


class Readiness(Part):
    """How ready a pilot is for production."""

    pilot: str
    version: int | None
    """That was judged: the champion, or one that is to become it."""
    score: float
    """The least of the sections'."""
    band: str
    """What that stands for, as the paper puts it."""
    weakest: tuple[Section, ...]
    """The sections with that score."""
    sections: tuple[SectionScore, ...]
    at: AwareDatetime

    @property
    def tests(self) -> tuple[Test, ...]:
        """All 28, in order."""
        return tuple(test for section in self.sections for test in section.tests)


class Finding(Part):
    """What a judge says of one test."""

    evidence: tuple[Evidence, ...] = ()
    missing: str = ""
    next: str = ""
    means: Means = Means.NONE

    @property
    def earned(self) -> bool:
        """Whether the evidence is whole."""
        return not self.missing and bool(self.evidence)


def earned(*evidence: Evidence) -> Finding:
    """The test is done, and this shows it."""
    return Finding(evidence=evidence)


def wanting(missing: str, following: str, *evidence: Evidence, means: Means = Means.COMMAND) -> Finding:
    """The test is not done, or did not go well: why, what would earn the point, and what is there of it."""
    return Finding(evidence=evidence, missing=missing, next=following, means=means)
