"""Tests for features and data."""

from __future__ import annotations

from datetime import timedelta

from pilotage.core.artifacts import Report, Snapshot
from pilotage.core.artifacts.data import FindingKind
from pilotage.core.metrics import Measure
from pilotage.core.registry.tags import SKEW_TAG
from pilotage.core.specs import PythonSource
from pilotage.core.specs.protections import PersonalKind
from pilotage.pipelines.readiness import fragments, places
from pilotage.pipelines.readiness.judges import words
from pilotage.pipelines.readiness.proofs import Kind
from pilotage.pipelines.readiness.scores import Evidence, Finding, Means, earned, wanting
from pilotage.pipelines.readiness.subjects import Subject

LEAST_SHARE = 0.001
"""Of a model's answers that has to rest on a feature for it to be of use."""
QUICKLY = timedelta(days=7)
"""From the first run with a new feature to a champion with it."""
COSTS = frozenset(
    {
        *(Measure.LATENCY_P50_MS, Measure.LATENCY_P99_MS),
        *(Measure.COST_PER_THOUSAND, Measure.MEMORY_MB, Measure.SIZE_MB),
    }
)
"""Measures of what a prediction takes, all features together."""
_BETRAYALS = (FindingKind.LEAKAGE, FindingKind.TARGET_COPY, FindingKind.IDENTIFIER)
_MOST_BACK = 5


def schema(about: Subject) -> Finding:
    """Expectations cover every feature, and the version's data met them."""
    if about.registered is None:
        return words.unversioned(about)
    report, snapshot = about.report, about.snapshot
    if report is None or snapshot is None or report.snapshot != snapshot.digest:
        return words.lost(about, "validation report of its own data")
    covered = {check.column for check in report.checks}
    left = [feature.name for feature in snapshot.features if feature.name not in covered]
    if left:
        told = _reported(about, report, f"{len(report.checks)} expectations")
        if report.drafted:
            why = f"Nothing was expected of {words.names(left)}, which the champion before did not have."
            return wanting(why, f"pilotage run {about.pilot} --no-cache", told)
        why = f"Nothing is expected of {words.names(left)}: add it to the suite, or let one be drafted."
        return wanting(why, fragments.text({"expectations": None}), told, means=Means.YAML)
    if not report.success:
        return wanting("The version's data did not meet what is expected.", f"pilotage run {about.pilot}")
    whose = "drafted from the data, then held" if report.drafted else "the pilot's own suite"
    text = f"{len(report.checks)} expectations ({whose}) cover all {len(snapshot.features)} features; all"
    return earned(_reported(about, report, f"{text} critical ones were met"))


def beneficial(about: Subject) -> Finding:
    """Each feature moves the version's answers on held-out rows."""
    if about.registered is None:
        return words.unversioned(about)
    weights = about.importances
    if not weights:
        return words.lost(about, "measured importance of features")
    idle = sorted(name for name, share in weights.items() if share < LEAST_SHARE)
    least = min(weights, key=lambda name: weights[name])
    told = words.version(
        about,
        f"importance of {len(weights)} features by permutation; the least is `{least}` with"
        f" {weights[least]:.2%} of the answers",
        "profile",
    )
    if idle:
        return wanting(
            f"Less than {LEAST_SHARE:.1%} of the answers rests on {words.names(idle)}.",
            fragments.without(about.entry.spec, [*idle]),
            told,
            means=Means.YAML,
        )
    return earned(told)


def cost(about: Subject) -> Finding:
    """All features together are within a budget that a gate holds, so no single one costs too much."""
    if about.registered is None:
        return words.unversioned(about)
    if about.scorecard is None:
        return words.lost(about, "scorecard")
    verdicts = words.gates(about, COSTS)
    failed = [item for item in verdicts if not item.passed]
    if failed:
        return wanting(words.told(failed[0]) + ".", f"pilotage run {about.pilot}")
    if not verdicts:
        fragment = fragments.latency(about.entry.spec, about.scorecard)
        return wanting("No gate limits what a prediction takes.", fragment, means=Means.YAML)
    return earned(*(words.scorecard(about, words.told(item)) for item in verdicts))


def requirements(about: Subject) -> Finding:
    """pilot.yaml says which columns may or may not be features; the version's data obeys, nothing leaks."""
    if about.registered is None:
        return words.unversioned(about)
    snapshot, report = about.snapshot, about.report
    if snapshot is None or report is None:
        return words.lost(about, "snapshot and validation report")
    used = [feature.name for feature in snapshot.features]
    allowed, banned = about.spec.data.features, about.spec.data.exclude
    if allowed is None and not banned:
        fragment = fragments.pinned(snapshot)
        return wanting("pilot.yaml does not say which columns may be features.", fragment, means=Means.YAML)
    wrong = [name for name in used if name in banned or (allowed is not None and name not in allowed)]
    if wrong:
        return wanting(
            f"{words.names(wrong)} may not be a feature and is one.", f"pilotage run {about.pilot}"
        )
    betrayed = [item.column or "" for item in report.findings if item.kind in _BETRAYALS]
    if betrayed:
        return wanting(
            f"{words.names(betrayed)} tells the target or numbers the rows.",
            fragments.without(about.entry.spec, betrayed),
            means=Means.YAML,
        )
    said = f"`data.features` allows {len(allowed)} columns" if allowed is not None else ""
    said = said or f"`data.exclude` forbids {words.names(banned)}"
    text = f"{said}; the {len(used)} features obey, and none was found to leak the target or to number rows"
    return earned(_reported(about, report, text))


def privacy(about: Subject) -> Finding:
    """What is done with personal data is said and was done, its end is set, and named people have access."""
    if about.registered is None:
        return words.unversioned(about)
    snapshot, data = about.snapshot, about.spec.data
    if snapshot is None:
        return words.lost(about, "snapshot")
    if data.personal is None:
        fragment = fragments.text({"data": {"personal": {"kinds": {PersonalKind.EMAIL.value: "mask"}}}})
        return wanting("pilot.yaml does not say what is done with personal data.", fragment, means=Means.YAML)
    undeclared = sorted({item.column for item in snapshot.personal if item.policy is None})
    if undeclared:
        fragment = fragments.text({"data": {"personal": {"columns": dict.fromkeys(undeclared, "mask")}}})
        why = f"{words.names(undeclared)} holds personal data that pilot.yaml says nothing about."
        return wanting(why, fragment, means=Means.YAML)
    if data.retention is None:
        fragment = fragments.text({"data": {"retention": "365d"}})
        return wanting("pilot.yaml does not say when data is deleted.", fragment, means=Means.YAML)
    people = sorted({row.user for row in about.grants})
    if not people:
        return wanting(
            "No named person has a role for the pilot: whoever reaches the machine has everything.",
            f"pilotage users add NAME --role viewer@{about.pilot}",
        )
    link = places.run(about.run.id) if about.run is not None else places.models(about.pilot)
    text = (
        f"personal data was looked for in {snapshot.rows:,} rows and {len(snapshot.personal)} findings were"
        f" treated as `data.personal` says; data is deleted after {data.retention.days} days"
    )
    done = Evidence(kind="snapshot", text=text, link=link, at=snapshot.created_at)
    text = f"{len(people)} named people have a role for the pilot"
    latest = max(row.at for row in about.grants)
    return earned(done, Evidence(kind="grants", text=text, link=places.USERS, at=latest))


def quickly(about: Subject) -> Finding:
    """A feature was added between two champions, and took no longer than a week to get there."""
    if about.registered is None:
        return words.unversioned(about)
    later = about
    for _ in range(_MOST_BACK):
        before = _before(later)
        if before is None:
            break
        found = _added(about, later, before)
        if found is not None:
            return found
        later = before
    return wanting(
        "No feature was added between the latest champions, so it is not known how long that takes:"
        " it shows when a column is added to the data and a version with it becomes champion.",
        f"pilotage run {about.pilot}",
    )


def tested(about: Subject) -> Finding:
    """The tests in the pilot's folder run the code that makes features; or there is none but Pilotage's."""
    if about.registered is None:
        return words.unversioned(about)
    source = about.spec.data.source
    if not isinstance(source, PythonSource):
        if about.tags.get(SKEW_TAG) != "none":
            return words.lost(about, "comparison of its encoded features with serving's")
        text = (
            "the pilot has no feature code of its own; how its features are encoded was compared with what"
            " serving makes of the same held-out rows, and is the same"
        )
        return earned(words.version(about, text))
    return proved_by_tests(about, source.python.partition(":")[0], "the code that makes features")


def proved_by_tests(about: Subject, module: str, what: str) -> Finding:
    """The tests in the pilot's folder passed, and called functions of `module`, or read it."""
    prove = f"pilotage readiness {about.entry.folder} --prove tests"
    proof = about.proof(Kind.TESTS)
    if proof is None:
        return wanting("Tests in the pilot's folder were not run on it as it is, in 30 days.", prove)
    told = Evidence(kind="proof", text=proof.summary, link=places.audit(about.pilot), at=proof.at)
    if not proof.passed:
        return wanting(proof.summary, prove, told)
    called = [name for name in proof.details.get("called", ()) if name.partition(":")[0] == module]
    if not called:
        return wanting(f"No test calls {what}, `{module}`.", prove, told)
    return earned(told.model_copy(update={"text": f"{proof.summary}; they call {words.names(called)}"}))


def _reported(about: Subject, report: Report, text: str) -> Evidence:
    link = places.run(about.run.id) if about.run is not None else places.models(about.pilot)
    return Evidence(kind="report", text=text, link=link, at=report.created_at)


def _before(about: Subject) -> Subject | None:
    """The champion that the version took the place of."""
    move = about.promotion
    replaced = move.details.get("replaced") if move is not None else None
    if not isinstance(replaced, int):
        return None
    before = about.other(replaced)
    return before if before.registered is not None else None


def _added(about: Subject, later: Subject, before: Subject) -> Finding | None:
    """What is to be said of features that `later` has and `before` has not."""
    new, old, move, run = later.snapshot, before.snapshot, later.promotion, later.run
    if new is None or old is None or move is None or run is None:
        return None
    names = _names(new) - _names(old)
    if not names:
        return None
    took = move.at - run.asked_at
    text = (
        f"{words.names(sorted(names))} came with version {later.version}: from its run to production in"
        f" {_span(took)}"
    )
    told = Evidence(kind="run", text=text, link=places.run(run.id), at=move.at)
    if took > QUICKLY:
        return wanting(
            f"It took {_span(took)}, more than {QUICKLY.days} days.", f"pilotage run {about.pilot}", told
        )
    return earned(told)


def _names(snapshot: Snapshot) -> set[str]:
    return {feature.name for feature in snapshot.features}


def _span(took: timedelta) -> str:
    seconds = took.total_seconds()
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} seconds"


JUDGES = (schema, beneficial, cost, requirements, privacy, quickly, tested)
