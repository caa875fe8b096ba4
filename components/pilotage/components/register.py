"""The step that makes a version of a judged model, and champion of it when gates and approval allow.

Safe to repeat at any point: the same MLflow run is the same version, and what
was done already is left as it is. Gates are not judged again. The version says
whether the model also has an inference form, and if not, why; and whether training
and serving agree, without which it is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pilotage.core.safes  # noqa: F401 - takes seconds; loaded with the step and not while it runs
from pilotage.components import agreements, datasets, provenance, rollouts, splits
from pilotage.components.compilation import forms
from pilotage.core import errors, signatures
from pilotage.core.artifacts import Decision, Report, Scorecard, Snapshot, TrainedModel, Version
from pilotage.core.registry import Alias, Registry
from pilotage.core.registry.tags import (
    CODE_TAG,
    DECISION_TAG,
    FORM_TAG,
    HELD_TAG,
    PASSED_TAG,
    REASON_TAG,
    REVISION_TAG,
    RUN_TAG,
    SCORECARD_TAG,
    SKEW_TAG,
    SNAPSHOT_TAG,
    SUITE_TAG,
)
from pilotage.core.settings import Settings
from pilotage.core.specs import Approval, PilotSpec
from pilotage.core.storage import Storage

logger = logging.getLogger(__name__)

_LASTING = (
    *(Decision.PROMOTED, Decision.RELEASING),
    *(Decision.REFUSED, Decision.REJECTED, Decision.SUPERSEDED),
)
"""What was decided since, where a version waits or is released: a repeat does not begin that anew."""


def register(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    snapshot: Snapshot,
    report: Report,
    trained: TrainedModel,
    scorecard: Scorecard,
    run: str,
    out: Path,
    also: Mapping[str, str] | None = None,
) -> Version:
    """Register the model as challenger, promote it or begin its rollout if nothing speaks against it.

    Where releases are committed, that it is to be released is noted on the version, and no more. Writes
    `version.json`. `also` are tags of the version beside those that all have; with HELD_TAG it waits for a
    person, whatever pilot.yaml says.

    Raises:
        DataError: model, scorecard, report and snapshot do not belong together.
        Failure: another version became champion since the model was compared with one.
        UntrustedModel: the model's file is not the one that was judged, so it is not signed.
    """
    _require_match(snapshot, report, trained, scorecard)
    registry = Registry(settings)
    decision, reason = _decide(spec, scorecard, (also or {}).get(HELD_TAG))
    if decision is Decision.PROMOTED:
        _require_same_champion(registry, spec.pilot, trained, scorecard)
    registry.log_file(trained.mlflow_run, scorecard.write(out))
    said = _complete(spec, settings, registry, snapshot, trained)
    decision, reason = _refused(said[SKEW_TAG]) or (decision, reason)
    tags = {**(also or {}), **_tags(folder, snapshot, report, trained, scorecard, run), **said}
    version = registry.register(spec.pilot, trained.mlflow_run, trained.uri, tags)
    storage = Storage(settings.storage)
    decision, reason = _follow(spec, settings, registry, storage, version, decision, reason)
    swap = not settings.release_to  # else the champion follows what the cluster runs
    replaced = _set_aliases(registry, storage, spec, version, decision, swap=swap)
    registry.tag(spec.pilot, version, {**tags, DECISION_TAG: decision.value, REASON_TAG: reason})
    logger.info("%s version %d: %s, %s", spec.pilot, version, decision, reason)
    made = Version(
        pilot=spec.pilot,
        version=version,
        mlflow_run=trained.mlflow_run,
        decision=decision,
        reason=reason,
        promoted=decision is Decision.PROMOTED,
        replaced=replaced,
        run=run,
        snapshot=snapshot.digest,
        suite=report.suite,
        model=trained.model.digest,
        scorecard=scorecard.content_digest,
        code=tags.get(REVISION_TAG, trained.model.code),
        skew=said[SKEW_TAG],
        created_at=datetime.now(UTC),
    )
    made.write(out)
    return made


def _complete(
    spec: PilotSpec, settings: Settings, registry: Registry, snapshot: Snapshot, trained: TrainedModel
) -> dict[str, str]:
    """Add the model's form, test what a server will load, and sign it; returns tags that say how it went."""
    dataset = datasets.load(settings, snapshot)
    places = splits.split(dataset, spec.task, spec.data.split.test).test
    rows = dataset.take(places)  # those that evaluation judged the model on
    form = forms.add(settings, registry, trained, rows.columns)
    model = registry.folder_at(registry.model_location(trained.uri))
    skew = agreements.check(settings, snapshot, model, places, rows)
    _sign(settings, registry, trained)
    return {FORM_TAG: form, SKEW_TAG: skew}


def _sign(settings: Settings, registry: Registry, trained: TrainedModel) -> None:
    """Sign the model's files, which are complete now, where the settings name a key."""
    if settings.signing_key_file is None:
        return
    folder = registry.folder_at(registry.model_location(trained.uri))
    signatures.sign(folder, settings.signing_key_file, trained.model.digest)
    registry.add_to_model(trained.uri, folder, (signatures.FILE,))


def _decide(spec: PilotSpec, scorecard: Scorecard, held: str | None) -> tuple[Decision, str]:
    failed = [verdict for verdict in scorecard.gates if not verdict.passed]
    if failed:
        return Decision.REFUSED, "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in failed)
    if held is not None:
        return Decision.PENDING, f"every gate passed, but {held}; waits for an approval"
    if spec.approval is Approval.MANUAL:
        return Decision.PENDING, "every gate passed; waits for an approval"
    return Decision.PROMOTED, "every gate passed"


def _follow(
    spec: PilotSpec,
    settings: Settings,
    registry: Registry,
    storage: Storage,
    version: int,
    decision: Decision,
    reason: str,
) -> tuple[Decision, str]:
    """What the decision means here: a release, a rollout or what became of the version before this repeat."""
    if decision is Decision.PROMOTED and settings.release_to:
        decision, reason = Decision.RELEASING, f"{reason}; is to be released"
    if decision is Decision.PROMOTED and (begun := rollouts.decide(spec, registry, storage, version)):
        return begun
    held = spec.decided_gates or settings.release_environment in settings.readiness
    if decision is Decision.PROMOTED and held:
        decision, reason = Decision.PENDING, f"{reason}; waits until the pilot's readiness is judged"
    if decision in (Decision.PENDING, Decision.RELEASING):
        return _decided_before(registry, spec.pilot, version) or (decision, reason)
    return decision, reason


def _refused(skew: str) -> tuple[Decision, str] | None:
    """What follows from the test of training against serving: nothing, or that nobody gets this version."""
    if skew == agreements.NONE:
        return None
    return Decision.REFUSED, f"training and serving disagree: {skew.removeprefix(agreements.FOUND)}"


def _decided_before(registry: Registry, name: str, version: int) -> tuple[Decision, str] | None:
    """What a person, or the way into a cluster, decided of a version whose registration is repeated."""
    tags = registry.version(name, version).tags
    decided = tags.get(DECISION_TAG)
    if decided in _LASTING:
        return Decision(decided), tags.get(REASON_TAG, "")
    return None


def _require_match(snapshot: Snapshot, report: Report, trained: TrainedModel, scorecard: Scorecard) -> None:
    for name, digest in (
        ("report", report.snapshot),
        ("model", trained.model.snapshot),
        ("scorecard", scorecard.snapshot),
    ):
        if digest != snapshot.digest:
            raise errors.DataError(
                f"The {name} is of snapshot {digest[:12]}, not of {snapshot.digest[:12]}.",
                remedy="Run the pilot again from the start.",
            )
    if scorecard.model != trained.model.digest:
        raise errors.DataError(
            f"The scorecard is of model {scorecard.model[:12]}, not of {trained.model.digest[:12]}.",
            remedy="Evaluate the model again.",
        )


def _require_same_champion(
    registry: Registry, name: str, trained: TrainedModel, scorecard: Scorecard
) -> None:
    """The champion is the one that the model was held against, or this very model after a retry."""
    compared = scorecard.champion.version if scorecard.champion else None
    champion = registry.champion(name)
    if champion is None or champion.version == compared or champion.run == trained.mlflow_run:
        return
    against = "with none" if compared is None else f"with version {compared}"
    raise errors.Failure(
        f"Version {champion.version} of `{name}` became champion after the model was compared {against}.",
        remedy="Evaluate again: run the pilot once more.",
        champion=champion.version,
        compared=compared,
    )


def _tags(
    folder: Path,
    snapshot: Snapshot,
    report: Report,
    trained: TrainedModel,
    scorecard: Scorecard,
    run: str,
) -> dict[str, str]:
    tags = {
        RUN_TAG: run,
        SNAPSHOT_TAG: snapshot.digest,
        SUITE_TAG: report.suite,
        signatures.MODEL_TAG: trained.model.digest,
        SCORECARD_TAG: scorecard.content_digest,
        CODE_TAG: trained.model.code,
        PASSED_TAG: str(scorecard.passed).lower(),
    }
    revision = provenance.revision(folder)
    return tags if revision is None else {**tags, REVISION_TAG: revision}


def _set_aliases(
    registry: Registry, storage: Storage, spec: PilotSpec, version: int, decision: Decision, *, swap: bool
) -> int | None:
    """Challenger first, then champion or a rollout if so decided; returns the champion that it replaced.

    Without `swap` nobody becomes champion here.
    """
    name = spec.pilot
    is_champion = registry.aliases(name).get(Alias.CHAMPION) == version
    if not is_champion and rollouts.may_challenge(storage, name, version, decision):
        registry.challenge(name, version)
    if decision is Decision.ROLLING_OUT:
        rollouts.begin(spec, registry, storage, version)
    return registry.promote(name, version) if swap and decision is Decision.PROMOTED else None
