"""The ML Test Score: its 28 tests in four sections, and what a score stands for.

Breck, Cai, Nielsen, Salib, Sculley (2017): The ML Test Score: A Rubric for ML Production Readiness and
Technical Debt Reduction. IEEE Big Data. Each test gives no point, half a point where it is done by hand
and written down, a point where it is automated; a section has the sum of its seven tests, and the whole
the least of the four sections. What earns a point here is in `judges`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Section(StrEnum):
    """The four sections of seven tests."""

    DATA = "data"
    MODEL = "model"
    INFRASTRUCTURE = "infrastructure"
    MONITORING = "monitoring"


SECTION_TITLES = {
    Section.DATA: "Tests for features and data",
    Section.MODEL: "Tests for model development",
    Section.INFRASTRUCTURE: "Tests for ML infrastructure",
    Section.MONITORING: "Monitoring tests for ML",
}


class Rule(NamedTuple):
    """One test of the rubric."""

    id: str
    section: Section
    title: str
    """As the paper words it, shortened."""


_TITLES = {
    Section.DATA: (
        "Feature expectations are captured in a schema",
        "All features are beneficial",
        "No feature's cost is too much",
        "Features adhere to meta-level requirements",
        "The data pipeline has appropriate privacy controls",
        "New features can be added quickly",
        "All input feature code is tested",
    ),
    Section.MODEL: (
        "Model specs are reviewed and submitted",
        "Offline and online metrics correlate",
        "All hyperparameters have been tuned",
        "The impact of model staleness is known",
        "A simpler model is not better",
        "Model quality is sufficient on important data slices",
        "The model is tested for considerations of inclusion",
    ),
    Section.INFRASTRUCTURE: (
        "Training is reproducible",
        "Model specs are unit tested",
        "The ML pipeline is integration tested",
        "Model quality is validated before serving",
        "The model is debuggable",
        "Models are canaried before serving",
        "Serving models can be rolled back",
    ),
    Section.MONITORING: (
        "Dependency changes result in notification",
        "Data invariants hold for inputs",
        "Training and serving are not skewed",
        "Models are not too stale",
        "Models are numerically stable",
        "Computing performance has not regressed",
        "Prediction quality has not regressed",
    ),
}

RULES = tuple(
    Rule(f"{section}-{number}", section, title)
    for section, titles in _TITLES.items()
    for number, title in enumerate(titles, 1)
)
"""The 28 tests, in the paper's order."""
BY_ID = {rule.id: rule for rule in RULES}
MOST = 7.0
"""Points of a section, and so of the whole."""
MANUAL, AUTOMATED = 0.5, 1.0

BANDS = (
    (0.0, "more of a research project than a productionized system"),
    (1.0, "not totally untested, but serious holes in reliability are possible"),
    (2.0, "a first pass at basic productionization; more investment may be needed"),
    (3.0, "reasonably tested, but more of the tests and procedures may be automated"),
    (5.0, "strong automated testing and monitoring, fit for mission-critical systems"),
    (MOST, "exceptional automated testing and monitoring"),
)
"""Table I of the paper: up to and with which score, what it stands for."""


def band(score: float) -> str:
    """What a final score stands for."""
    return next(meaning for most, meaning in BANDS if score <= most)
