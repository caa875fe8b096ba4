"""The sections of a card that tell what evaluation found."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pilotage.components.cards import pictures
from pilotage.components.cards.contents import Block, Facts, Figure, Gap, Grid, Section, Text
from pilotage.components.cards.numbers import NOTHING, estimate, number, percent
from pilotage.components.measures import bootstraps, slices
from pilotage.core.artifacts import Explanations, Fairness, Group, Scorecard
from pilotage.core.artifacts.reasons import ExplainedRow
from pilotage.core.metrics import Measure

RATES = {
    "selection_rate": "Predicted positive",
    "true_positive_rate": "True positive rate",
    "false_positive_rate": "False positive rate",
    "precision": "Precision",
    "mean_error": "Mean error",
}
"""What groups are told by, besides the goal's metric."""
_FEATURES, _CONTRIBUTIONS = 20, 8
NO_GROUPS = Gap(
    "Groups that the model may treat differently",
    "add a gate with `by`, such as `{metric: equalized_odds_difference, by: COLUMN, max: 0.2}`",
)


def metrics(card: Scorecard) -> Section:
    """Metrics beside the baseline's and the champion's."""
    champion = card.champion
    against = "Champion" if champion is None or champion.version is None else f"Champion {champion.version}"
    rows = [
        (
            name,
            estimate(found),
            number(card.baseline.metrics.get(name)),
            number(champion.metrics.get(name) if champion else None),
        )
        for name, found in card.metrics.items()
    ]
    told = (
        f"On {card.test_rows} held-out rows; in brackets 95 % bootstrap intervals ({bootstraps.RESAMPLES}"
        " resamples). Metrics are scikit-learn's scorers: greater is better."
    )
    grid = Grid("Metrics", ("Metric", "Value", "Trivial baseline", against), tuple(rows))
    return Section("metrics", "Metrics", (Text(told, "soft"), grid))


def gates(card: Scorecard) -> Section:
    """Every gate's verdict."""
    rows = [
        (gate.gate, "passed" if gate.passed else "FAILED", estimate(gate), gate.reason) for gate in card.gates
    ]
    return Section("gates", "Gates", (Grid("Gates", ("Gate", "Verdict", "Value", "Reason"), tuple(rows)),))


def weakest(card: Scorecard) -> Section | None:
    """Where it is worst."""
    if not card.slices:
        return None
    rows = [(f"{part.column} is {part.value}", str(part.rows), estimate(part.metric)) for part in card.slices]
    axis = pictures.reach([part.metric for part in card.slices])
    whole = card.metrics[card.metric].value
    told = (
        f"{card.metric} on parts of the held-out rows with at least {slices.FEWEST_ROWS} rows, worst first;"
        " the line is the value on all rows."
    )
    grid = Grid(
        "Slices",
        ("Part", "Rows", card.metric),
        tuple(rows),
        tuple(pictures.span(part.metric, axis, whole) for part in card.slices),
    )
    return Section("slices", "Where it is weakest", (Text(told, "soft"), grid))


def fairness(card: Scorecard) -> Section:
    """Groups side by side, or that nobody asked for any."""
    if not card.fairness:
        return Section("fairness", "Fairness", (Text(NO_GROUPS.text, "gap"),))
    blocks: list[Block] = [
        Text(
            "Intervals hold for the largest difference among all pairs of groups at once. Equal groups of"
            " these sizes would show what is said of chance.",
            "soft",
        )
    ]
    for compared in card.fairness:
        blocks += _compared(compared, card.metric)
    return Section("fairness", "Fairness", tuple(blocks))


def left_out(compared: Fairness) -> str:
    """What became of small groups, in a sentence; empty where there are none."""
    if not compared.small_groups:
        return ""
    names = ", ".join(f"{name} ({rows})" for name, rows in list(compared.small.items())[:10])
    more = "…" if compared.small_groups > 10 else ""
    became = "are compared together" if compared.merged else f"are left out, with {compared.left_out} rows"
    return f"Groups of fewer than {compared.min_group} rows {became}: {names}{more}."


def differences(compared: Fairness, metric: str) -> tuple[tuple[str, ...], ...]:
    """A row for each measure that has a value."""
    rows = []
    for item in compared.differences:
        name = item.measure.replace("_", " ")
        if item.measure == Measure.GROUP_METRIC_DIFFERENCE:
            name = f"difference in {metric}"
        if item.positive is not None:
            name = f"{name} (of class {item.positive})"
        if item.value is not None:
            rows.append((name, estimate(item), number(item.chance), " and ".join(item.groups) or NOTHING))
    return tuple(rows)


def _compared(compared: Fairness, metric: str) -> list[Block]:
    found: list[Block] = []
    if len(compared.groups) < 2:
        told = f"By {compared.by}: fewer than two groups have {compared.min_group} held-out rows."
        return [Text(told, "gap"), *([Text(text)] if (text := left_out(compared)) else [])]
    found.append(
        Grid(
            f"Differences by {compared.by}",
            ("Measure", "Value", "By chance", "Furthest apart"),
            differences(compared, metric),
        )
    )
    shown = [name for name in RATES if any(name in group.estimates for group in compared.groups)]
    rows = [
        (
            group.value,
            str(group.rows),
            *(estimate(group.estimates.get(name)) for name in shown),
            estimate(group.estimates.get("metric")),
        )
        for group in compared.groups
    ]
    columns = ("Group", "Rows", *(RATES[name] for name in shown), metric)
    found.append(Grid(f"Groups by {compared.by}", columns, tuple(rows), group_pictures(compared.groups)))
    if text := left_out(compared):
        found.append(Text(text))
    return found


def group_pictures(groups: Sequence[Group], name: str = "metric") -> tuple[Markup, ...]:
    """Each group's estimate on one axis."""
    spans = [group.estimates.get(name) for group in groups]
    axis = pictures.reach(spans)
    return tuple(pictures.span(one, axis) for one in spans)


def reasons(card: Scorecard) -> Section:
    """What the model leans on, and a few rows taken apart."""
    found = card.explanations
    if found is None:
        text = Text("Explanations: this scorecard is of before they were made – run the pilot again", "gap")
        return Section("reasons", "Why it says what it says", (text,))
    blocks: list[Block] = []
    if any(item.drop or item.contribution for item in found.importances):
        told = (
            f"What {found.metric} loses when a feature's values are permuted ({found.repeats} repeats on"
            f" {found.rows} held-out rows, 95 % interval), and the mean size of its contributions"
            f" ({found.output}). Features that say the same thing share what they tell."
        )
        blocks += [Text(told, "soft"), _importances(found)]
    blocks += [_dependence(found, place) for place in range(len(found.dependences))]
    for row in found.examples:
        blocks.append(_example(row, found))
    if found.examples:
        exact = "exact" if found.exact else "estimates"
        blocks.append(Text(f"Contributions are Shapley values ({found.method}; {exact}).", "soft"))
    blocks += [Text(f"Not told: {gap}", "gap") for gap in found.gaps]
    return Section("reasons", "Why it says what it says", tuple(blocks))


def _importances(found: Explanations) -> Grid:
    top = found.importances[:_FEATURES]
    dropped = any(item.drop for item in top)
    spans = [item.drop if dropped else item.contribution for item in top]
    axis = pictures.reach(spans, zero=True)
    return Grid(
        "Importance of features",
        ("Feature", f"Loss of {found.metric}", "Mean contribution"),
        tuple((item.feature, estimate(item.drop), estimate(item.contribution)) for item in top),
        tuple(pictures.span(one, axis, 0.0) for one in spans),
    )


def _dependence(found: Explanations, place: int) -> Block:
    one = found.dependences[place]
    of = "the prediction" if found.dependence_of is None else f"the probability of {found.dependence_of}"
    if one.ordered:
        title = f"Mean of {of} by {one.feature}, from {one.values[0]} to {one.values[-1]}"
        svg = pictures.curve(title, one.places, one.means, one.low, one.high)
        caption = (
            f"{one.feature}, {one.values[0]} to {one.values[-1]}: mean of {of}, {number(min(one.means))} to"
            f" {number(max(one.means))}; the band holds 80 % of the rows"
        )
        return Figure(svg, caption)
    rows = [
        (value, number(mean), f"{number(low)} to {number(high)}")
        for value, mean, low, high in zip(one.values, one.means, one.low, one.high, strict=True)
    ]
    return Grid(f"Mean of {of} by {one.feature}", (one.feature, "Mean", "80 % of the rows"), tuple(rows))


def _example(row: ExplainedRow, found: Explanations) -> Grid:
    top = list(row.contributions.items())[:_CONTRIBUTIONS]
    most = max((abs(value) for _, value in top), default=0.0)
    truth, said = (
        number(value) if isinstance(value, float) else str(value) for value in (row.truth, row.predicted)
    )
    caption = (
        f"A {row.kind.value} row: true {truth}, predicted {said}, score {number(row.score)};"
        f" {found.output} {number(row.value)} from {number(row.base)}"
    )
    return Grid(
        caption,
        ("Feature", "Value", "Contribution"),
        tuple(
            (name, "missing" if row.values.get(name) is None else str(row.values[name]), f"{value:+.4g}")
            for name, value in top
        ),
        tuple(pictures.contribution(value, most) for _, value in top),
    )


def calibration(card: Scorecard) -> Section | None:
    """Stated probabilities against observed frequencies."""
    if not card.calibration:
        return None
    bins = card.calibration
    svg = pictures.curve(
        "Observed frequency against predicted probability",
        [part.predicted for part in bins],
        [part.observed for part in bins],
        diagonal=True,
    )
    rows = tuple((number(part.predicted), number(part.observed), str(part.rows)) for part in bins)
    grid = Grid("Calibration", ("Predicted", "Observed", "Rows"), rows)
    error = card.metrics.get(Measure.CALIBRATION_ERROR)
    told = Text(f"Expected calibration error {number(error.value)}." if error else "")
    shown = (told,) if error else ()
    figure = Figure(svg, "Observed frequency against predicted probability; dashed where they agree")
    return Section("calibration", "Calibration", (*shown, figure, grid))


def worth(card: Scorecard) -> Section:
    """What predictions bring, and how long they take."""
    pairs = [
        (
            "Time for a row",
            f"{number(card.latency.p50_ms)} ms (p50), {number(card.latency.p90_ms)} ms (p90),"
            f" {number(card.latency.p99_ms)} ms (p99), over {card.latency.calls} calls",
        )
    ]
    if card.worth is None:
        gap = Gap("Worth of a prediction", "add `goal.value`")
        return Section("worth", "Value and speed", (Facts(tuple(pairs)), Text(gap.text, "gap")))
    found = card.worth
    pairs.insert(0, ("Worth", f"{number(found.per_row)} {found.currency} a row"))
    pairs.insert(1, ("On the held-out rows", f"{number(found.total)} {found.currency}"))
    pairs.insert(2, ("Trivial baseline", f"{number(found.baseline_per_row)} {found.currency} a row"))
    if found.champion_per_row is not None:
        pairs.insert(3, ("Champion", f"{number(found.champion_per_row)} {found.currency} a row"))
    return Section("worth", "Value and speed", (Facts(tuple(pairs)),))


def share(part: int, whole: int) -> str:
    """A part of a number of rows."""
    return percent(part / whole) if whole else NOTHING
