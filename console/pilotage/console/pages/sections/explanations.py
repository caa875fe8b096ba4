"""What the model leans on, and a few held-out rows taken apart."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pilotage.components.cards import pictures
from pilotage.components.cards.numbers import estimate, number
from pilotage.console.pages.sections.bases import Section, Subject
from pilotage.core.artifacts import Dependence, ExplainedRow, Explanations

_FEATURES, _CONTRIBUTIONS = 20, 8


@dataclass(frozen=True)
class Drawn:
    """How the answer depends on one feature."""

    feature: str
    svg: Markup | None
    """None of a feature without an order."""
    caption: str
    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Example:
    """One row taken apart."""

    row: ExplainedRow
    truth: str
    predicted: str
    parts: tuple[tuple[str, str, str, Markup], ...]


def show(subject: Subject) -> Section | None:
    """Importances, dependences and rows of a version."""
    card = subject.scorecard
    if card is None:
        return None
    found = card.explanations
    return Section(
        key="reasons",
        title="Why it says what it says",
        note="the same contributions as /explain of a model server" if found and found.examples else "",
        template="sections/explanations.html.j2",
        values={
            "found": found,
            "importances": [] if found is None else _importances(found),
            "dependences": [] if found is None else [_dependence(item) for item in found.dependences],
            "of": ""
            if found is None
            else "the prediction"
            if found.dependence_of is None
            else f"the probability of {found.dependence_of}",
            "examples": [] if found is None else [_example(row) for row in found.examples],
        },
    )


def _importances(found: Explanations) -> list[tuple[str, str, str, Markup]]:
    top = [item for item in found.importances if item.drop or item.contribution][:_FEATURES]
    dropped = any(item.drop for item in top)
    spans = [item.drop if dropped else item.contribution for item in top]
    axis = pictures.reach(spans, zero=True)
    return [
        (item.feature, estimate(item.drop), estimate(item.contribution), pictures.span(one, axis, 0.0))
        for item, one in zip(top, spans, strict=True)
    ]


def _dependence(found: Dependence) -> Drawn:
    ends = f"{found.values[0]} to {found.values[-1]}"
    caption = f"{found.feature}, {ends}" if found.ordered else found.feature
    svg = (
        pictures.curve(
            f"Mean answer by {caption}; the table tells the same",
            found.places,
            found.means,
            found.low,
            found.high,
        )
        if found.ordered
        else None
    )
    rows = [
        (value, number(mean), f"{number(low)} to {number(high)}")
        for value, mean, low, high in zip(found.values, found.means, found.low, found.high, strict=True)
    ]
    return Drawn(found.feature, svg, caption, tuple(rows))


def _example(row: ExplainedRow) -> Example:
    top = list(row.contributions.items())[:_CONTRIBUTIONS]
    most = max((abs(value) for _, value in top), default=0.0)
    return Example(
        row=row,
        truth=_told(row.truth),
        predicted=_told(row.predicted),
        parts=tuple(
            (name, row.values.get(name) or "missing", f"{value:+.3g}", pictures.contribution(value, most))
            for name, value in top
        ),
    )


def _told(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
