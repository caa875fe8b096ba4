"""One judge a test of the ML Test Score: what is held about the pilot earns the point, or what is missing.

A judge may only speak of evidence about this pilot and the version that is judged; that Pilotage could do
something earns nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pilotage.pipelines.readiness.judges import data, infrastructure, models, monitoring
from pilotage.pipelines.readiness.rubrics import RULES, Section
from pilotage.pipelines.readiness.scores import Finding
from pilotage.pipelines.readiness.subjects import Subject

Judge = Callable[[Subject], Finding]

_BY_SECTION: Mapping[Section, tuple[Judge, ...]] = {
    Section.DATA: data.JUDGES,
    Section.MODEL: models.JUDGES,
    Section.INFRASTRUCTURE: infrastructure.JUDGES,
    Section.MONITORING: monitoring.JUDGES,
}
JUDGES: Mapping[str, Judge] = {
    f"{section}-{number}": judge
    for section, judges in _BY_SECTION.items()
    for number, judge in enumerate(judges, 1)
}
"""By the test's id."""
if tuple(JUDGES) != tuple(rule.id for rule in RULES):  # pragma: no cover - a mistake of ours
    raise RuntimeError("each test of the rubric has one judge")

__all__ = ["JUDGES", "Judge"]
