"""Judging a pilot: every test by its judge, notes where evidence is not whole, and the score that follows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine

from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.readiness import notes, places
from pilotage.pipelines.readiness.judges import JUDGES
from pilotage.pipelines.readiness.notes import Note
from pilotage.pipelines.readiness.rubrics import (
    AUTOMATED,
    MANUAL,
    RULES,
    SECTION_TITLES,
    Rule,
    Section,
    band,
)
from pilotage.pipelines.readiness.scores import Evidence, Finding, How, Readiness, SectionScore, Test
from pilotage.pipelines.readiness.subjects import Subject


def assess(
    settings: Settings,
    pilot: str,
    version: int | None = None,
    *,
    engine: Engine | None = None,
    registry: Registry | None = None,
    now: datetime | None = None,
) -> Readiness:
    """How ready a pilot is; nothing is written.

    Args:
        settings: the installation.
        pilot: a name.
        version: one that is to become champion; the champion when left out.
        engine: the database, if it is connected already.
        registry: the versions, likewise.
        now: the time by which evidence is old.

    Raises:
        NotFound: there is no such pilot or version.
    """
    engine = engine or tables.connect(settings)
    about = Subject(settings, engine, registry or Registry(settings), pilot, version, now)
    about.entry  # noqa: B018 - a pilot that is not here is said to be so before anything is judged
    if version is not None:
        about.registry.version(pilot, version)
    with tables.reading(engine) as connection:
        held = notes.holding(connection, pilot, about.now)
    return judge(about, held)


def judge(about: Subject, held: Mapping[str, Note]) -> Readiness:
    """How ready the subject is, with the notes that hold."""
    tests = {rule.id: _test(rule, JUDGES[rule.id](about), held.get(rule.id)) for rule in RULES}
    sections = tuple(
        _section(section, tuple(tests[rule.id] for rule in RULES if rule.section is section))
        for section in Section
    )
    score = min(section.score for section in sections)
    return Readiness(
        pilot=about.pilot,
        version=about.version,
        score=score,
        band=band(score),
        weakest=tuple(section.name for section in sections if section.score == score),
        sections=sections,
        at=about.now,
    )


def _section(section: Section, tests: tuple[Test, ...]) -> SectionScore:
    return SectionScore(
        name=section, title=SECTION_TITLES[section], score=sum(test.points for test in tests), tests=tests
    )


def _test(rule: Rule, found: Finding, note: Note | None) -> Test:
    if found.earned:
        return Test(
            id=rule.id, title=rule.title, points=AUTOMATED, how=How.AUTOMATED, evidence=found.evidence
        )
    missing = {"missing": found.missing, "next": found.next, "means": found.means}
    if note is None:
        return Test(
            id=rule.id, title=rule.title, points=0.0, how=How.NONE, evidence=found.evidence, **missing
        )
    told = Evidence(
        kind="note",
        text=f"{note.who}: {note.text} (holds until {note.until:%Y-%m-%d})",
        link=places.audit(note.pilot),
        at=note.at,
    )
    return Test(
        id=rule.id,
        title=rule.title,
        points=MANUAL,
        how=How.MANUAL,
        evidence=(told, *found.evidence),
        until=note.until,
        **missing,
    )
