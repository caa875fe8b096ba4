"""What speaks for a version: its scorecard, gates, data, run, and who said yes.

Gathered from the registry and the database, and put into words for commits and into the values that the
chart shows. Whether it may be released is `promotions`' to say.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pilotage.core import errors, storage
from pilotage.core.artifacts import Scorecard
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registered, Registry
from pilotage.core.registry.clients import INSIDE, RUN_TAG
from pilotage.core.settings import Settings
from pilotage.pipelines.decisions import approvals, promotions
from pilotage.pipelines.decisions.approvals import Approval, ApprovalState
from pilotage.pipelines.releases import values
from pilotage.pipelines.releases.messages import Message, line, paragraph

_LEFT_OUT = ("registered_model_meta",)
"""A note that MLflow puts into what it downloads."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a version."""

    registered: Registered
    model: values.Version
    scorecard: Scorecard | None
    approval: Approval | None

    @property
    def approver(self) -> str:
        """Who said yes; empty where nobody was asked or did."""
        said = self.approval
        return said.who or "" if said is not None and said.state is ApprovalState.APPROVED else ""

    def told(self, reason: str) -> values.Evidence:
        """As the chart shows it."""
        tags, card = self.registered.tags, self.scorecard
        return values.Evidence(
            run=tags.get(RUN_TAG, ""),
            snapshot=_digest(tags.get("pilotage.snapshot", "") or (card.snapshot if card else "")),
            scorecard=_digest(tags.get("pilotage.scorecard", "")),
            approver=line(self.approver),
            reason=line(reason),
        )


def gather(
    settings: Settings, pilot: str, version: int, environment: str, *, by: str, force: bool
) -> Evidence:
    """What is known of a version that `by` may release to an environment.

    Raises:
        NotFound: there is no such version, or its files are gone.
        Forbidden, PromotionRefused: see `promotions.require_releasable`.
        UntrustedModel: its files are not those that were signed.
    """
    registry = Registry(settings)
    registered = registry.version(pilot, version)
    promotions.require_releasable(settings, registered, environment, who=by, force=force)
    folder = registry.folder(registered)
    profile = folder / INSIDE / ReferenceProfile.FILE
    if not profile.is_file():
        raise errors.NotFound(
            f"Version {version} of `{pilot}` has no reference profile.", remedy="Train it again."
        )
    try:
        scorecard = registry.scorecard(registered)
    except errors.NotFound:  # only who forces it gets here without one
        scorecard = None
    model = values.Version(
        version=version,
        digest=f"sha256:{folder_digest(folder)}",
        profile=f"sha256:{storage.file_digest(profile)}",
    )
    return Evidence(registered, model, scorecard, approvals.of(settings, pilot, version))


def folder_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of all files in a model's folder, in hexadecimal."""
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in _LEFT_OUT and "__pycache__" not in file.parts:
            whole.update(f"{storage.file_digest(file)}  {name}\n".encode())
    return whole.hexdigest()


def message(
    evidence: Evidence, environment: str, *, by: str, reason: str, forced: bool, replaced: int | None
) -> Message:
    """What the commit of a release says."""
    pilot, version = evidence.registered.name, evidence.registered.version
    was = f" in place of {replaced}" if replaced not in (None, version) else ""
    again = "again " if replaced == version else ""  # with another pilot.yaml, image or model store
    shown = evidence.told(reason)
    trailers = {
        "Action": "release",
        "Pilot": pilot,
        "Environment": environment,
        "Version": str(version),
        "Replaces": "" if replaced is None else str(replaced),
        "Snapshot": shown.snapshot,
        "Scorecard": shown.scorecard,
        "Model": evidence.model.digest,
        "Run": shown.run,
        "Approver": shown.approver,
        "By": by,
        "Reason": reason,
        "Forced": "yes" if forced else "",
    }
    body = "\n\n".join(
        part for part in (_why(evidence, by, reason, forced), _card(evidence), _origin(evidence)) if part
    )
    return Message(f"Release {pilot} {version} {again}to {environment}{was}", body, trailers)


def _why(evidence: Evidence, by: str, reason: str, forced: bool) -> str:
    said = evidence.approval
    if forced:
        word = "gates and approval were overruled"
    elif evidence.approver and said is not None:
        when = f" at {said.decided_at:%Y-%m-%d %H:%M} UTC" if said.decided_at else ""
        word = f"{evidence.approver}{when}" + (f": {said.why}" if said.why else "")
    else:
        word = "none was asked for; every gate passed"
    return paragraph("Decision", [("released by", by), ("reason", reason), ("approval", word)])


def _card(evidence: Evidence) -> str:
    card = evidence.scorecard
    if card is None:
        return "Scorecard: none was found."
    goal = card.metrics.get(card.metric)
    items = [("held-out rows", str(card.test_rows))]
    if goal is not None and goal.value is not None:
        span = (
            f" ({goal.low:.6g} to {goal.high:.6g})" if goal.low is not None and goal.high is not None else ""
        )
        aim = f", target {card.target:g}" if card.target is not None else ""
        items.append((card.metric, f"{goal.value:.6g}{span}{aim}"))
    for name, rival in (("baseline", card.baseline), ("champion then", card.champion)):
        value = rival.metrics.get(card.metric) if rival is not None else None
        if value is not None:
            items.append((name, f"{value:.6g}"))
    items.append(("latency p99", f"{card.latency.p99_ms:.3g} ms a row"))
    if card.worth is not None:
        items.append(("worth", f"{card.worth.per_row:.4g} {card.worth.currency} a row"))
    gates = [
        (
            gate.gate,
            ("passed" if gate.passed else "FAILED")
            + f", value {_number(gate.value)}, limit {_number(gate.limit)}",
        )
        for gate in card.gates
    ]
    return paragraph("Scorecard", items) + "\n\n" + paragraph("Gates", gates)


def _origin(evidence: Evidence) -> str:
    tags, shown = evidence.registered.tags, evidence.told("")
    return paragraph(
        "Origin",
        [
            ("run", shown.run),
            ("MLflow run", evidence.registered.run),
            ("data", shown.snapshot),
            ("suite", _digest(tags.get("pilotage.suite", ""))),
            ("scorecard", shown.scorecard),
            ("code", tags.get("pilotage.revision", tags.get("pilotage.code", ""))),
            ("model", evidence.model.digest),
            ("profile", evidence.model.profile),
        ],
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _digest(text: str) -> str:
    return (
        f"sha256:{text}" if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text) else ""
    )
