"""Groups side by side, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pilotage.components.cards import evaluations
from pilotage.components.cards.numbers import estimate
from pilotage.console.pages.sections.bases import Section, Subject
from pilotage.core.artifacts import Fairness, Group, Verdict


@dataclass(frozen=True)
class Rate:
    """One number of every group, on one axis."""

    name: str
    rows: tuple[tuple[Group, str, Markup], ...]
    """Group, estimate in words, picture."""


@dataclass(frozen=True)
class Compared:
    """One way to part the rows."""

    found: Fairness
    differences: tuple[tuple[str, ...], ...]
    rates: tuple[Rate, ...]
    left_out: str
    verdicts: tuple[Verdict, ...]


def show(subject: Subject) -> Section | None:
    """The groups of a version; what to do where nobody asked for any."""
    card = subject.scorecard
    if card is None:
        return None
    return Section(
        key="fairness",
        title="Groups",
        note="95 % intervals, on held-out rows",
        template="sections/fairness.html.j2",
        values={"compared": [_compared(found, card.metric, card.gates) for found in card.fairness]},
    )


def _compared(found: Fairness, metric: str, gates: tuple[Verdict, ...]) -> Compared:
    names = {**evaluations.RATES, "metric": metric}
    rates = [
        _rate(found, name, title)
        for name, title in names.items()
        if any(name in group.estimates for group in found.groups)
    ]
    subjects = [f"{item.measure} by {found.by}" for item in found.differences]
    asked = [
        gate
        for gate in gates
        if any(f"{subject} {then}" in gate.gate for subject in subjects for then in (">=", "<=", "against"))
    ]
    return Compared(
        found=found,
        differences=evaluations.differences(found, metric),
        rates=tuple(rates),
        left_out=evaluations.left_out(found),
        verdicts=tuple(asked),
    )


def _rate(found: Fairness, name: str, title: str) -> Rate:
    drawn = evaluations.group_pictures(found.groups, name)
    told = [estimate(group.estimates.get(name)) for group in found.groups]
    return Rate(title, tuple(zip(found.groups, told, drawn, strict=True)))
