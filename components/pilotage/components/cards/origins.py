"""The sections of a card that tell where a version comes from: its data, its training, what that cost."""

from __future__ import annotations

from pilotage.components.cards.contents import Block, Facts, Grid, Known, Listed, Section, Text
from pilotage.components.cards.evaluations import share
from pilotage.components.cards.numbers import estimate, number, percent
from pilotage.core.artifacts import Model, Snapshot
from pilotage.core.metrics import Measure

_COLUMNS, _FAILED = 200, 30
NO_PRICE = "No price is set, so what it cost is not told: PILOTAGE_PRICES."


def data(known: Known, said: tuple[Block, ...]) -> Section:
    """The data sheet; `said` is what people say of the data."""
    snapshot = known.snapshot
    if snapshot is None:
        return Section("data", "Data sheet", said)
    pairs = [("Source", snapshot.source), ("Digest", snapshot.digest), ("Rows", str(snapshot.rows))]
    if known.model is not None:
        pairs.append(("Parts", f"{known.model.train_rows} to train, {known.model.test_rows} held out"))
    if snapshot.time_range is not None:
        begin, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in snapshot.time_range)
        pairs.append(("Period", f"{begin} to {end} UTC"))
    if snapshot.forgotten:
        pairs.append(("Forgotten", f"{snapshot.forgotten} rows of the source, by their keys"))
    pairs.append(("Read", f"{snapshot.created_at:%Y-%m-%d %H:%M} UTC"))
    blocks: list[Block] = [*said, Facts(tuple(pairs)), _columns(snapshot)]
    if len(snapshot.columns) > _COLUMNS:
        more = len(snapshot.columns) - _COLUMNS
        blocks.append(Text(f"{more} more columns are in the snapshot's manifest."))
    return Section(
        "data", "Data sheet", (*blocks, *_personal(snapshot), *_synthetic(known.model), *_validation(known))
    )


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


def _personal(snapshot: Snapshot) -> list[Block]:
    """Personal data that was met in the source, and what was done about it."""
    if not snapshot.personal:
        return [Text("No personal data was found in the source.")]
    rows = []
    for item in snapshot.personal:
        part = item.share
        done = "stored as it is; pilot.yaml says nothing of it" if item.policy is None else item.policy.value
        done += f": {item.reason}" if item.reason else ""
        rows.append((item.column, item.kind.value, "by its name" if part is None else percent(part), done))
    return [Grid("Personal data in the source", ("Column", "Kind", "Values", "Done"), tuple(rows))]


def _synthetic(model: Model | None) -> list[Block]:
    """Synthetic rows that training saw."""
    made = None if model is None else model.synthetic
    if made is None:
        return [Text("No synthetic row was used.")] if model is not None else []
    pairs = [
        ("Synthetic rows", f"{made.rows}, in training alone"),
        ("Made by", f"{made.method}, fitted on {made.fitted_rows} real training rows"),
    ]
    if made.fidelity is not None:
        pairs.append(("Fidelity", f"{number(made.fidelity.score)} (1 is alike)"))
    if made.utility is not None:
        pairs.append(("Trained on them alone", f"{made.utility.metric} {estimate(made.utility.synthetic)}"))
    if made.leakage is not None:
        pairs.append(("Membership attack", f"{estimate(made.leakage.membership)} (0.5 is guessing)"))
    return [Facts(tuple(pairs)), *([Listed(made.notes)] if made.notes else [])]


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


def training(known: Known) -> Section:
    """How the model was made."""
    model = known.model
    if model is None:
        return Section("training", "Training", (Text("The model's files are not there any more.", "gap"),))
    params = ", ".join(f"{name} {value}" for name, value in model.params.items()) or "all at their defaults"
    pairs = [("Estimator", model.estimator), ("Parameters", params), ("Seed", str(model.seed))]
    if model.shrunk is not None:
        pairs.insert(0, ("Smaller form of", f"version {model.shrunk.version}: {model.shrunk.how}"))
    if model.trials:
        pairs.append(("Search", f"{model.trials} trials, {model.pruned} stopped early"))
    pairs += [
        ("Stored as", f"{model.format}, digest {model.digest}"),
        ("Code", model.code),
        ("Requirements", f"Python {model.python}; {', '.join(model.requirements)}"),
        ("Trained", f"{model.created_at:%Y-%m-%d %H:%M} UTC"),
    ]
    return Section("training", "Training", (Facts(tuple(pairs)),))


def cost(known: Known) -> Section | None:
    """What training used, and what that cost and gave off, where it was told."""
    used, priced = known.scorecard.training, known.scorecard.training_cost
    if used is None:
        return None
    machine = f"{used.processors} × {used.processor}" if used.processor else f"{used.processors} processors"
    pairs = [
        ("Time", f"{number(used.wall_seconds)} s, {number(used.cpu_seconds)} s of CPU"),
        ("Machine", machine),
        ("Most memory", f"{used.peak_memory_bytes / 2**20:.0f} MiB"),
    ]
    if used.gpu_seconds:
        pairs.append(("GPU", f"{number(used.gpu_seconds)} s {used.gpu}".rstrip()))
    if used.joules is not None:
        pairs.append(("Energy", f"{number(used.joules / 3.6e6)} kWh, measured"))
    for name, unit in ((Measure.ENERGY_KWH, "kWh"), (Measure.CO2_KG, "kg of CO2")):
        if name in known.scorecard.metrics:
            pairs.append((name.replace("_", " "), f"{number(known.scorecard.metrics[name].value)} {unit}"))
    found: list[Block] = [Facts(tuple(pairs))]
    if priced is None:
        return Section("cost", "Cost and energy of training", (*found, Text(NO_PRICE, "soft")))
    paid = [("Cost", f"{number(priced.total)} {priced.currency}")]
    if priced.unpriced:
        paid.append(("Without a price", ", ".join(priced.unpriced)))
    return Section("cost", "Cost and energy of training", (*found, Facts(tuple(paid))))
