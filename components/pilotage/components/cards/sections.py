"""What is on a card, in the order of Mitchell et al. (2019), and what is missing of it."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.components.cards import evaluations
from pilotage.components.cards.contents import Block, Card, Facts, Gap, Grid, Known, Listed, Section, Text
from pilotage.components.cards.evaluations import share
from pilotage.components.cards.numbers import number
from pilotage.core.artifacts import Snapshot
from pilotage.core.metrics import Measure

_COLUMNS, _EXCLUDED, _FAILED = 200, 20, 30
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
        _data(known),
        _training(known),
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


def _data(known: Known) -> Section:
    said: tuple[Block, ...] = (_said(known, "data_collection"), _said(known, "data_license"))
    snapshot = known.snapshot
    if snapshot is None:
        return Section("data", "Data sheet", said)
    pairs = [("Source", snapshot.source), ("Digest", snapshot.digest), ("Rows", str(snapshot.rows))]
    if known.model is not None:
        pairs.append(("Parts", f"{known.model.train_rows} to train, {known.model.test_rows} held out"))
    if snapshot.time_range is not None:
        begin, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in snapshot.time_range)
        pairs.append(("Period", f"{begin} to {end} UTC"))
    pairs.append(("Read", f"{snapshot.created_at:%Y-%m-%d %H:%M} UTC"))
    blocks: list[Block] = [*said, Facts(tuple(pairs)), _columns(snapshot)]
    if len(snapshot.columns) > _COLUMNS:
        blocks.append(
            Text(f"{len(snapshot.columns) - _COLUMNS} more columns are in the snapshot's manifest.")
        )
    return Section("data", "Data sheet", (*blocks, *_validation(known)))


def _columns(snapshot: Snapshot) -> Grid:
    kinds = {feature.name: f"feature, {feature.kind.value}" for feature in snapshot.features}
    reasons = {item.name: f"not used: {item.reason}" for item in snapshot.excluded}
    roles = {snapshot.target: "target", snapshot.time or "": "time", snapshot.key or "": "key"}
    rows = []
    for column in snapshot.columns[:_COLUMNS]:
        role = kinds.get(column.name) or roles.get(column.name) or reasons.get(column.name, "")
        distinct = "over 10000" if column.distinct > 10_000 else str(column.distinct)
        rows.append((column.name, column.type.value, role, share(column.nulls, snapshot.rows), distinct))
    return Grid("Columns", ("Column", "Type", "Role", "Missing", "Different values"), tuple(rows))


def _validation(known: Known) -> list[Block]:
    report = known.report
    if report is None:
        return [Text("Validation: the report is not there any more – run the pilot again", "gap")]
    failed = [check for check in report.checks if not check.success]
    suite = "drafted from the data" if report.drafted else "given"
    found: list[Block] = [
        Text(f"Validated by {len(report.checks)} expectations ({suite}), of which {len(failed)} failed.")
    ]
    told = [f"{item.column or 'rows'}: {item.message}" for item in report.findings]
    told += [
        f"{check.column or 'table'}: {check.expectation} expected {check.expected}, saw {check.observed}"
        for check in failed
    ]
    told += [
        f"{skew.column} differs from what trained the champion: {skew.message}" for skew in report.value_skew
    ]
    return [*found, Listed(tuple(told[:_FAILED]))] if told else found


def _training(known: Known) -> Section:
    model = known.model
    if model is None:
        return Section("training", "Training", (Text("The model's files are not there any more.", "gap"),))
    params = ", ".join(f"{name} {value}" for name, value in model.params.items()) or "all at their defaults"
    pairs = [("Estimator", model.estimator), ("Parameters", params), ("Seed", str(model.seed))]
    if model.trials:
        pairs.append(("Search", f"{model.trials} trials, {model.pruned} stopped early"))
    pairs += [
        ("Stored as", f"{model.format}, digest {model.digest}"),
        ("Code", model.code),
        ("Requirements", f"Python {model.python}; {', '.join(model.requirements)}"),
        ("Trained", f"{model.created_at:%Y-%m-%d %H:%M} UTC"),
    ]
    return Section("training", "Training", (Facts(tuple(pairs)),))


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
