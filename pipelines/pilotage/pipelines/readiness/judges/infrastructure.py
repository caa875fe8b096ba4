"""Tests for ML infrastructure."""

from __future__ import annotations

from datetime import timedelta

from pilotage.core.artifacts import Rollout, RolloutState
from pilotage.core.registry import Alias
from pilotage.core.specs import Strategy
from pilotage.pipelines.journals.states import STEPS, State
from pilotage.pipelines.readiness import fragments, places
from pilotage.pipelines.readiness.judges import words
from pilotage.pipelines.readiness.judges.data import proved_by_tests
from pilotage.pipelines.readiness.proofs import Kind
from pilotage.pipelines.readiness.scores import Evidence, Finding, Means, earned, wanting
from pilotage.pipelines.readiness.subjects import Subject

REGULARLY = timedelta(days=30)
"""How old the latest run of the whole pipeline may be."""
REHEARSED = timedelta(days=180)
"""How long ago a rollback may have been done last."""
PILOT_FILE = "pilot.yaml"
_DONE = (State.SUCCEEDED, State.CACHED)


def reproducible(about: Subject) -> Finding:
    """Training again from the same data, seed and parameters gave the same answers."""
    if about.registered is None:
        return words.unversioned(about)
    prove = f"pilotage readiness {about.entry.folder} --prove repeat"
    proof = about.proof(Kind.REPEAT)
    if proof is None:
        return wanting("The version's way of training was not repeated in 30 days.", prove)
    told = Evidence(kind="proof", text=proof.summary, link=places.audit(about.pilot), at=proof.at)
    return earned(told) if proof.passed else wanting(proof.summary, prove, told)


def unit_tested(about: Subject) -> Finding:
    """The tests in the pilot's folder read pilot.yaml, or call the estimator that it names."""
    if about.registered is None:
        return words.unversioned(about)
    estimator = about.spec.train.estimator
    if ":" in estimator:
        return proved_by_tests(about, estimator.partition(":")[0], "the estimator")
    return proved_by_tests(about, PILOT_FILE, "what reads the model's spec")


def integrated(about: Subject) -> Finding:
    """The whole pipeline ran lately, not only by hand, and ended well."""
    latest = next(iter(about.runs), None)
    if latest is None:
        return wanting("The pipeline has not run yet.", f"pilotage run {about.pilot}")
    if latest.state != State.SUCCEEDED:
        return wanting(f"The latest run ended {latest.state}.", f"pilotage runs show {latest.id}")
    if about.now - latest.ended_at > REGULARLY:
        return wanting(f"No run has ended in {REGULARLY.days} days.", f"pilotage run {about.pilot}")
    steps = {step.name: step.state for step in about.steps(latest.id)}
    left = [name for name in STEPS if steps.get(name) not in _DONE]
    if left:
        return wanting(f"The latest run did not do {words.names(left)}.", f"pilotage run {about.pilot}")
    text = f"run {latest.id} went from data to a version that serving's own code answered with"
    run = Evidence(kind="run", text=text, link=places.run(latest.id), at=latest.ended_at)
    regular = _regular(about)
    if regular is None:
        fragment = fragments.text({"retrain": {"schedule": "0 3 * * 1"}})
        return wanting("Only people have started runs lately.", fragment, run, means=Means.YAML)
    return earned(run, regular)


def validated(about: Subject) -> Finding:
    """Gates judged the version before it served, all passed, and nobody overruled them."""
    if about.registered is None:
        return words.unversioned(about)
    card = about.scorecard
    if card is None or not card.gates:
        return words.lost(about, "scorecard with gates")
    failed = [item for item in card.gates if not item.passed]
    move = about.promotion
    if failed or (move is not None and move.details.get("forced")):
        why = (
            words.told(failed[0]) if failed else f"{move.who} overruled the gates" if move is not None else ""
        )
        return wanting(f"{why[:1].upper()}{why[1:]}.", f"pilotage run {about.pilot}")
    text = f"{len(card.gates)} gates passed on {card.test_rows:,} held-out rows: "
    return earned(words.scorecard(about, text + "; ".join(item.gate for item in card.gates)))


def debuggable(about: Subject) -> Finding:
    """One prediction can be followed: its encoding and graph as tables, its features' contributions."""
    if about.registered is None:
        return words.unversioned(about)
    if about.form is None:
        why = about.tags.get("pilotage.form", "") or "none was made"
        return wanting(
            f"The version has no inference form to follow: {why}.", f"pilotage run {about.pilot} --no-cache"
        )
    if not about.has_reference:
        return wanting(
            "No held-out rows are stored with the version for explanations to rest on.",
            f"PILOTAGE_REFERENCE_SAMPLE=5000 pilotage run {about.pilot} --no-cache",
        )
    text = (
        f"its inference form tells step by step what {len(about.form.inputs)} inputs become of a row; stored"
        " held-out rows let `POST /explain` tell each feature's part in one prediction"
    )
    return earned(words.version(about, text, "form"))


def canaried(about: Subject) -> Finding:
    """The version answered part of the traffic, or copies of it, before it answered all."""
    if about.registered is None:
        return words.unversioned(about)
    rollout = about.rollout
    if rollout is not None and rollout.state is RolloutState.COMPLETED and _seen_through(rollout):
        shares = ", ".join(f"{share} %" for share in rollout.steps)
        text = f"{rollout.strategy} against version {rollout.champion} in steps of {shares}: {rollout.reason}"
        return earned(
            Evidence(kind="rollout", text=text, link=places.models(about.pilot), at=rollout.ended_at)
        )
    if rollout is not None and rollout.state is RolloutState.COMPLETED:
        why = "It was promoted before its rollout had gone through its steps."
        return wanting(why, f"pilotage run {about.pilot} --no-cache")
    if rollout is not None:
        return wanting(f"Its rollout is {rollout.state}: {rollout.reason}.", f"pilotage models {about.pilot}")
    if about.entry.spec.serve.rollout.strategy is not Strategy.SWAP:
        why = "It answered all traffic at once, before pilot.yaml said otherwise or for want of a champion."
        return wanting(why, f"pilotage run {about.pilot} --no-cache")
    fragment = fragments.text({"serve": {"rollout": {"strategy": "canary", "steps": [10, 50]}}})
    return wanting("It answered all traffic at once.", fragment, means=Means.YAML)


def _seen_through(rollout: Rollout) -> bool:
    """Whether every step was gone through, with requests, and no person promoted the version meanwhile."""
    measured = rollout.measured
    if measured is None or len(rollout.stages) + 1 != len(rollout.steps):
        return False
    return max(measured.requests, measured.copied) >= rollout.min_requests


def rolled_back(about: Subject) -> Finding:
    """A champion was taken back within half a year, and the one to go back to is there."""
    if about.registered is None:
        return words.unversioned(about)
    done = next(
        (
            move
            for move in about.moves
            if move.action in ("rollback", "halt") and about.now - move.at <= REHEARSED
        ),
        None,
    )
    champion, previous = about.aliases.get(Alias.CHAMPION), about.aliases.get(Alias.PREVIOUS)
    if done is None:
        return wanting(*_rehearse(about, champion, previous))
    back = previous if previous is not None else done.version
    if back is None or about.other(back).model is None:
        return wanting("The version to go back to has lost its files.", f"pilotage run {about.pilot}")
    who = "Pilotage" if done.who == "pilotage" else done.who
    text = f"{who} took a version back ({done.action}); version {back} is there to go back to"
    return earned(Evidence(kind="audit", text=text, link=places.audit(about.pilot), at=done.at))


def _rehearse(about: Subject, champion: int | None, previous: int | None) -> tuple[str, str]:
    if previous is None:
        return "There is no champion before this one to go back to.", f"pilotage run {about.pilot} --no-cache"
    return (
        f"No rollback was done or rehearsed in {REHEARSED.days} days.",
        f"pilotage rollback {about.pilot} --why rehearsal &&"
        f" pilotage promote {about.pilot} {champion} --why 'rehearsal over'",
    )


def _regular(about: Subject) -> Evidence | None:
    """A schedule, or a run that no person started."""
    own = next((run for run in about.runs if run.trigger or run.schedule), None)
    if own is not None and about.now - own.ended_at <= REGULARLY:
        whose = "an alarm" if own.trigger else "its schedule"
        text = f"{whose} started run {own.id}"
        return Evidence(kind="run", text=text, link=places.run(own.id), at=own.ended_at)
    planned = next((row for row in about.schedules if row.next_at is not None), None)
    if planned is None:
        return None
    text = f"schedule `{planned.cron}` ({planned.time_zone}) starts it"
    return Evidence(kind="schedule", text=text, link=places.SCHEDULES, at=planned.created_at)


JUDGES = (reproducible, unit_tested, integrated, validated, debuggable, canaried, rolled_back)
