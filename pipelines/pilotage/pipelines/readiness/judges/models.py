"""Tests for model development."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pilotage.core.metrics import NUMBER_MEASURES, PARITIES, Measure, Task
from pilotage.core.registry.tags import REVISION_TAG
from pilotage.core.specs import Estimator
from pilotage.pipelines.readiness import fragments, places, reviews
from pilotage.pipelines.readiness.judges import words
from pilotage.pipelines.readiness.proofs import Kind
from pilotage.pipelines.readiness.scores import Evidence, Finding, Means, earned, wanting
from pilotage.pipelines.readiness.subjects import Subject

_UNCLEAN = "+changes"
_LEAST_PAIRS = 8
"""Windows from which on a correlation is told."""
_LEAST_TRIALS = 2
_Z95 = 1.959964
_ERRORS = tuple(NUMBER_MEASURES)


def reviewed(about: Subject) -> Finding:
    """The pilot's folder was committed as it was trained, and somebody else said yes to what it says."""
    if about.registered is None:
        return words.unversioned(about)
    revision, folder = about.tags.get(REVISION_TAG, ""), about.entry.folder
    if not revision:
        return wanting(
            "The pilot's folder was in no git repository when the version was trained.",
            f"git -C {folder} init && git -C {folder} add . && git -C {folder} commit -m 'The pilot' &&"
            f" pilotage run {folder} --no-cache",
        )
    if revision.endswith(_UNCLEAN):
        return wanting(
            "The version was trained from changes that were not committed.",
            f"git -C {folder} commit -a && pilotage run {folder} --no-cache",
        )
    committed = words.version(about, f"trained from commit {revision[:12]}")
    yes = _approval(about) or _review(about, revision)
    if yes is None:
        return wanting(
            "Nobody but who asked for it has approved a version that is made as this one, and its commit"
            " names no reviewer (`Reviewed-by`).",
            fragments.text({"approval": "manual"}),
            committed,
            means=Means.YAML,
        )
    return earned(committed, yes)


def correlated(about: Subject) -> Finding:
    """Where the metric was better in production, predictions brought more; told from labelled windows."""
    if about.registered is None:
        return words.unversioned(about)
    pairs = [
        (row.realized, (row.value - row.baseline) / row.labelled)
        for row in about.all_windows
        if row.realized is not None and row.labelled and row.value is not None and row.baseline is not None
    ]
    if about.spec.goal.value is None:
        value = {"true_positive": 1, "false_positive": -1, "currency": "EUR"}
        if about.spec.task is Task.REGRESSION:
            value = {"per_unit_error": -1, "currency": "EUR"}
        return wanting(
            "pilot.yaml does not say what predictions are worth, so the metric cannot be held against that.",
            fragments.text({"goal": {"value": value}}),
            means=Means.YAML,
        )
    if len(pairs) < _LEAST_PAIRS:
        return wanting(
            f"{len(pairs)} windows have labels and a value; a correlation takes {_LEAST_PAIRS}.",
            f"pilotage labels {about.pilot} FILE",
        )
    found, low = correlation(pairs)
    text = (
        f"over {len(pairs)} labelled windows, {about.spec.performance_metric} and the value gained per"
        f" prediction correlate with r = {found:.2f} (95 % at least {low:.2f})"
    )
    told = Evidence(
        kind="window", text=text, link=places.monitoring(about.pilot), at=about.all_windows[0].updated_at
    )
    if not low > 0:
        return wanting(
            f"The metric does not tell what predictions bring: r = {found:.2f}, 95 % at least {low:.2f}.",
            f"pilotage value {about.pilot} --period window",
            told,
        )
    return earned(told)


def tuned(about: Subject) -> Finding:
    """The version's parameters were searched for."""
    if about.registered is None:
        return words.unversioned(about)
    model = about.model
    if model is None:
        return words.lost(about, "description of how it was made")
    if model.trials < _LEAST_TRIALS:
        return wanting(
            "The parameters of the version were not searched for.",
            fragments.search(about.entry.spec),
            means=Means.YAML,
        )
    text = f"{model.trials} trials chose the parameters ({model.pruned} were cut short)"
    return earned(words.version(about, text, "search"))


def staleness(about: Subject) -> Finding:
    """The champion before was judged on the rows that the version was judged on: what its age cost."""
    if about.registered is None:
        return words.unversioned(about)
    card = about.scorecard
    if card is None:
        return words.lost(about, "scorecard")
    rival, own = card.champion, card.metrics.get(card.metric)
    old = rival.metrics.get(card.metric) if rival is not None else None
    if rival is None or rival.version is None or old is None or own is None or own.value is None:
        return wanting(
            "The version was not held against an older one on the same rows.", f"pilotage run {about.pilot}"
        )
    older, newer = about.other(rival.version).model, about.model
    ages = [model.trained_until for model in (older, newer) if model is not None and model.trained_until]
    span = (
        f", whose data ended {(ages[1] - ages[0]).total_seconds() / 86400:.3g} days earlier"
        if len(ages) == 2
        else ""
    )
    text = (
        f"on the same held-out rows {card.metric} was {own.value:.4g}, and {old:.4g} for version"
        f" {rival.version}{span}"
    )
    return earned(words.scorecard(about, text))


def simpler(about: Subject) -> Finding:
    """A linear model on the same rows was not as good."""
    if about.registered is None:
        return words.unversioned(about)
    prove = f"pilotage readiness {about.entry.folder} --prove simple"
    proof = about.proof(Kind.SIMPLE)
    if proof is None:
        return wanting("No linear model was tried on the same data in 30 days.", prove)
    told = Evidence(kind="proof", text=proof.summary, link=places.audit(about.pilot), at=proof.at)
    if not proof.passed:
        fragment = fragments.text({"train": {"estimator": Estimator.LOGISTIC_REGRESSION.value}})
        return wanting(proof.summary, fragment, told, means=Means.YAML)
    return earned(told)


def sliced(about: Subject) -> Finding:
    """A gate limits how much worse the metric is in any group of a column."""
    return _grouped(
        about, (Measure.GROUP_METRIC_DIFFERENCE,), "No gate limits how bad the worst slice is.", 0.1
    )


def inclusive(about: Subject) -> Finding:
    """A gate limits how differently groups of people are treated."""
    wanted = (
        PARITIES if about.spec.task is Task.CLASSIFICATION else (Measure.GROUP_METRIC_DIFFERENCE, *_ERRORS)
    )
    return _grouped(about, wanted, "No gate limits how differently groups are treated.", 0.2)


def _grouped(about: Subject, measures: Sequence[str], missing: str, most: float) -> Finding:
    if about.registered is None:
        return words.unversioned(about)
    if about.scorecard is None:
        return words.lost(about, "scorecard")
    verdicts = words.gates(about, measures)
    failed = [item for item in verdicts if not item.passed]
    if failed:
        return wanting(words.told(failed[0]) + ".", f"pilotage run {about.pilot}")
    if not verdicts:
        measure = Measure(sorted(measures)[0])
        fragment = fragments.groups(about.snapshot, about.scorecard, measure, most)
        return wanting(missing, fragment, means=Means.YAML)
    return earned(*(words.scorecard(about, words.told(item)) for item in verdicts))


def _approval(about: Subject) -> Evidence | None:
    """Somebody's yes to a version that was made of the same pilot.yaml, or a request that was merged."""
    own = about.run.spec if about.run is not None else None
    for row in about.approvals:
        if row.who and row.who != row.asked_by and row.spec == own:
            text = f"{row.who} approved version {row.version}, which {row.asked_by} had asked for"
            return Evidence(kind="approval", text=text, link=places.models(about.pilot), at=row.decided_at)
    for row in about.requests:
        if row.version == about.version and row.branch:
            text = f"its release to {row.environment} was a request that somebody merged"
            return Evidence(kind="release", text=text, link=places.models(about.pilot), at=row.ended_at)
    return None


def _review(about: Subject, revision: str) -> Evidence | None:
    """What the commit says of its review."""
    said = reviews.of(about.entry.folder, revision)
    if said is None:
        return None
    return Evidence(kind="review", text=said.told, link=places.models(about.pilot), at=said.at)


def correlation(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Pearson's r, and the lower end of its 95 % interval by Fisher's transformation.

    Args:
        pairs: at least four; where one side never changes, r is taken to be 0.
    """
    xs, ys = zip(*pairs, strict=True)
    try:
        found = max(-1.0, min(1.0, statistics.correlation(xs, ys)))
    except statistics.StatisticsError:
        found = 0.0
    if abs(found) == 1.0:
        return found, found
    return found, math.tanh(math.atanh(found) - _Z95 / math.sqrt(len(pairs) - 3))


JUDGES = (reviewed, correlated, tuned, staleness, simpler, sliced, inclusive)
