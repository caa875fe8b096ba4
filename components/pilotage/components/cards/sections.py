"""What is on a card, in the order of Mitchell et al. (2019), and what is missing of it."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.components.cards import evaluations, origins
from pilotage.components.cards.contents import Block, Card, Facts, Gap, Known, Listed, Section, Text
from pilotage.components.cards.numbers import number
from pilotage.core.metrics import Measure

_EXCLUDED = 20
_STATED = {
    "intended_use": "Intended use",
    "intended_users": "Intended users",
    "out_of_scope": "Out of scope",
    "limits": "Known limits",
    "ethical_considerations": "Ethical considerations",
    "data_collection": "How the data came to be",
    "data_license": "Terms of the data",
    "contact": "Whom to ask",
}
"""What only people can say, by key below `card`."""


def build(known: Known) -> Card:
    """The whole card."""
    card = known.scorecard
    found = [
        _use(known),
        _scope(known),
        evaluations.metrics(card),
        evaluations.gates(card),
        evaluations.weakest(card),
        evaluations.fairness(card),
        evaluations.reasons(card),
        evaluations.calibration(card),
        evaluations.worth(card),
        *known.more,
        origins.data(known, (_said(known, "data_collection"), _said(known, "data_license"))),
        origins.training(known),
        origins.cost(known),
        _ethics(known),
        _decisions(known),
    ]
    version = "" if known.version is None else f", version {known.version}"
    return Card(
        title=f"{known.spec.pilot}{version}",
        lead=known.spec.description or "No description is given in pilot.yaml.",
        passed=card.passed,
        sections=tuple(section for section in found if section is not None),
        gaps=gaps(known),
    )


def gaps(known: Known) -> tuple[Gap, ...]:
    """All that the card should say and does not."""
    spec = known.spec
    found = [_gap(key) for key in _STATED if not getattr(spec.card, key)]
    found += [
        gap
        for missing, gap in (
            (not spec.description, Gap("Description", "add `description`")),
            (not spec.owner, Gap("Owner", "add `owner`")),
            (not known.scorecard.fairness, evaluations.NO_GROUPS),
            (spec.goal.value is None, Gap("Worth of a prediction", "add `goal.value`")),
            (known.snapshot is None, Gap("Data sheet", "the run that made it is gone; run the pilot again")),
        )
        if missing
    ]
    return (*found, *known.missing)


def _gap(key: str) -> Gap:
    return Gap(_STATED[key], f"add `card.{key}`")


def _said(known: Known, key: str) -> Block:
    """What pilot.yaml says under a key of `card`, or that it says nothing."""
    texts: Sequence[str] = getattr(known.spec.card, key)
    if not texts:
        return Text(_gap(key).text, "gap")
    return Text(texts[0]) if len(texts) == 1 else Listed(tuple(texts))


def _use(known: Known) -> Section:
    spec, model, card = known.spec, known.model, known.scorecard
    positive = "" if model is None or model.positive is None else f", positive class {model.positive}"
    target = "" if card.target is None else f" of at least {number(card.target)}"
    pairs = [
        ("Owner", spec.owner or "not stated – add `owner`"),
        ("Predicts", f"{spec.data.target} ({spec.task}{positive})"),
        ("Goal", f"{card.metric}{target}"),
        ("Evaluated", f"{card.created_at:%Y-%m-%d %H:%M} UTC"),
    ]
    blocks = (_said(known, "intended_use"), _said(known, "intended_users"), Facts(tuple(pairs)))
    return Section("use", "Intended use", (*blocks, _said(known, "contact")))


def _scope(known: Known) -> Section:
    return Section(
        "limits",
        "Out of scope and limits",
        (_said(known, "out_of_scope"), _said(known, "limits"), Listed(tuple(found_limits(known)))),
    )


def found_limits(known: Known) -> list[str]:
    """What a reader should not expect of the model, as training and evaluation found."""
    spec, model, card, snapshot = known.spec, known.model, known.scorecard, known.snapshot
    limits = []
    if model is not None and model.time is None:
        limits.append(
            "The held-out rows were chosen without regard to time; where the world changes, expect less."
        )
    elif model is not None and model.trained_until is not None:
        limits.append(f"It knows nothing of what happened after {model.trained_until:%Y-%m-%d %H:%M} UTC.")
    if card.test_rows < 1000:
        limits.append(
            f"Only {card.test_rows} rows were held out, so the intervals are wide and slices are few."
        )
    if spec.goal.target is not None:
        value = card.metrics[card.metric].value
        if value is None or value < spec.goal.target:
            limits.append(f"It does not reach the goal's target of {number(spec.goal.target)}.")
    if snapshot is not None and snapshot.excluded:
        names = ", ".join(excluded.name for excluded in snapshot.excluded[:_EXCLUDED])
        more = "…" if len(snapshot.excluded) > _EXCLUDED else ""
        limits.append(f"Columns of the source that it does not use: {names}{more}.")
    if model is not None and model.format != "skops":
        limits.append("It is stored as a pickle and loads only where its signature or the settings allow it.")
    limits.append("Intervals cover chance in the held-out rows, not a change of the world after them.")
    return limits


def _ethics(known: Known) -> Section:
    blocks: list[Block] = [_said(known, "ethical_considerations")]
    for compared in known.scorecard.fairness:
        for item in compared.differences:
            if item.measure == Measure.GROUP_METRIC_DIFFERENCE or item.low is None or not item.low > 0:
                continue
            if item.measure == Measure.DEMOGRAPHIC_PARITY_RATIO:
                continue
            named = " and ".join(item.groups)
            told = f"By {compared.by}, groups differ beyond chance in {item.measure.replace('_', ' ')}"
            blocks.append(Text(f"{told}: {number(item.value)} between {named}, at least {number(item.low)}."))
    return Section("ethics", "Ethical considerations", tuple(blocks))


def _decisions(known: Known) -> Section | None:
    if known.version is None:
        return None
    if not known.decisions:
        return Section("decisions", "Decisions", (Text("Nothing was decided about this version yet."),))
    return Section("decisions", "Decisions", (Facts(known.decisions),))
