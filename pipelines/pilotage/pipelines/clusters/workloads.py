"""What a workload's object says: which version it is to run, and how far that is.

Deployments are judged as `kubectl rollout status` does, Argo's Rollouts as its
own plugin does: a status that is older than the specification counts for
nothing. Nothing is asked of a cluster here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

PILOT_LABEL = "pilotage.dev/pilot"
VERSION_LABEL = "pilotage.dev/version"
COMPONENT_LABEL = "app.kubernetes.io/component"
_FAILED_LOADS = ("BlockedByFailedLoad", "InvalidSpec")
_FAILED_ANALYSES = ("Failed", "Error", "Inconclusive")


class Kind(StrEnum):
    """What a model server's pods belong to."""

    DEPLOYMENT = "Deployment"
    ROLLOUT = "Rollout"
    INFERENCE_SERVICE = "InferenceService"


class Phase(StrEnum):
    """How far a workload is."""

    PROGRESSING = "progressing"
    PAUSED = "paused"
    """It waits between two steps of a canary, or somebody holds it."""
    HEALTHY = "healthy"
    """All pods are of the version, and ready; none of another is left."""
    FAILED = "failed"
    """It was aborted, or made no progress within its own deadline."""


@dataclass(frozen=True)
class Workload:
    """A pilot's model servers in a namespace."""

    kind: Kind
    name: str
    namespace: str
    version: int | None
    """That is to run; None where the object does not say."""
    phase: Phase
    message: str
    desired: int
    """Replicas that are to be there."""
    updated: int
    """Of the version that is to run."""
    ready: int
    """Of any version."""
    total: int
    weight: int | None = None
    """Per cent of the traffic that a canary gets; None where there is none."""
    step: int | None = None

    @property
    def progress(self) -> tuple[Any, ...]:
        """What changes while a rollout moves."""
        return (
            self.version,
            self.phase.value,
            self.desired,
            self.updated,
            self.ready,
            self.weight,
            self.step,
        )

    @property
    def told(self) -> str:
        """Where it stands, in words."""
        place = f"{self.kind} `{self.name}`"
        counts = f"{self.updated} of {self.desired} pods are updated, {self.ready} ready"
        share = f", {self.weight} % of the traffic" if self.weight is not None else ""
        return f"{place} is {self.phase}: {counts}{share}" + (f"; {self.message}" if self.message else "")


def deployment(item: Mapping[str, Any]) -> Workload:
    """What a Deployment says."""
    spec, status = _part(item, "spec"), _part(item, "status")
    counts = _counts(spec, status)
    desired, updated, total = int(counts["desired"]), int(counts["updated"]), int(counts["total"])
    available = _number(status, "availableReplicas")
    progressing = _condition(status, "Progressing")
    phase, message = Phase.HEALTHY, ""
    if not _is_observed(item):
        phase, message = Phase.PROGRESSING, "its controller has not seen the change yet"
    elif progressing.get("reason") == "ProgressDeadlineExceeded":
        phase, message = Phase.FAILED, str(progressing.get("message") or "it made no progress in time")
    elif spec.get("paused"):
        phase, message = Phase.PAUSED, "somebody paused it"
    elif updated < desired:
        phase, message = Phase.PROGRESSING, _failure(status) or "new pods are made"
    elif total > updated:
        phase, message = Phase.PROGRESSING, f"{total - updated} pods of before are ending"
    elif available < desired:
        phase, message = Phase.PROGRESSING, "new pods are not ready"
    return Workload(Kind.DEPLOYMENT, **_names(item), phase=phase, message=message, **counts)


def rollout(item: Mapping[str, Any]) -> Workload:
    """What a Rollout of Argo Rollouts says."""
    spec, status = _part(item, "spec"), _part(item, "status")
    counts = _counts(spec, status)
    said = str(status.get("message") or "")
    phase, message = _rollout_phase(item, spec, status, said)
    weights = _part(_part(_part(status, "canary"), "weights"), "canary")
    return Workload(
        Kind.ROLLOUT,
        **_names(item),
        phase=phase,
        message=message,
        **counts,
        weight=weights.get("weight"),
        step=status.get("currentStepIndex"),
    )


def _rollout_phase(
    item: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any], said: str
) -> tuple[Phase, str]:
    if not _is_observed(item):
        return Phase.PROGRESSING, "its controller has not seen the change yet"
    analysis = _part(_part(status, "canary"), "currentStepAnalysisRunStatus")
    found = f" (analysis `{analysis.get('name')}`: {analysis.get('message') or analysis.get('status')})"
    detail = found if analysis.get("status") in _FAILED_ANALYSES else ""
    if status.get("abort"):
        return Phase.FAILED, (said or "it was aborted") + detail
    if status.get("phase") == "Degraded":
        return Phase.FAILED, (said or "it is degraded") + detail
    if spec.get("paused") or status.get("phase") == "Paused":
        reasons = [str(held.get("reason")) for held in status.get("pauseConditions") or ()]
        held = "somebody paused it" if spec.get("paused") else ", ".join(reasons)
        return Phase.PAUSED, held or said
    whole = status.get("stableRS") and status.get("stableRS") == status.get("currentPodHash")
    if status.get("phase") == "Healthy" and whole:
        return Phase.HEALTHY, ""
    return Phase.PROGRESSING, said


def inference_service(item: Mapping[str, Any], deployments: Sequence[Workload]) -> Workload:
    """What an InferenceService of KServe says, and the Deployments that it made, where it made some."""
    status = _part(item, "status")
    names = _names(item)
    labels = _part(_part(_part(item, "spec"), "predictor"), "labels")
    names["version"] = _version(labels) or names["version"]
    replicas: dict[str, Any] = {
        "desired": sum(part.desired for part in deployments),
        "updated": sum(part.updated for part in deployments),
        "ready": sum(part.ready for part in deployments),
        "total": sum(part.total for part in deployments),
    }
    phase, message = _service_phase(item, status)
    for part in deployments:
        if phase is Phase.HEALTHY and part.version not in (None, names["version"]):
            phase, message = Phase.PROGRESSING, f"{part.kind} `{part.name}` is of another version still"
        elif part.phase is Phase.FAILED or (phase is Phase.HEALTHY and part.phase is not Phase.HEALTHY):
            phase, message = part.phase, part.message
    return Workload(Kind.INFERENCE_SERVICE, **names, phase=phase, message=message, **replicas)


def _service_phase(item: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[Phase, str]:
    if not _is_observed(item):
        return Phase.PROGRESSING, "its controller has not seen the change yet"
    model = _part(status, "modelStatus")
    if model.get("transitionStatus") in _FAILED_LOADS:
        why = _part(model, "lastFailureInfo").get("message")
        return Phase.FAILED, str(why or model["transitionStatus"])
    ready = _condition(status, "Ready")
    if ready.get("status") != "True":
        return Phase.PROGRESSING, str(ready.get("message") or ready.get("reason") or "it is not ready")
    predictor = _part(_part(status, "components"), "predictor")
    created, rolled_out = predictor.get("latestCreatedRevision"), predictor.get("latestReadyRevision")
    if created != rolled_out:
        return Phase.PROGRESSING, f"revision `{created}` is not ready"
    return Phase.HEALTHY, ""


def with_pods(workload: Workload, pods: Sequence[Mapping[str, Any]]) -> Workload:
    """The workload with what its pods that are not ready say; why they are not is seldom said above them."""
    said = sorted({reason for pod in pods for reason in _troubles(pod)})
    if not said:
        return workload
    message = "; ".join(filter(None, (workload.message, *said[:3])))
    return replace(workload, message=message)


def _troubles(pod: Mapping[str, Any]) -> list[str]:
    status = _part(pod, "status")
    found = []
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            found.append(f"{condition.get('reason')}: {condition.get('message')}")
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = _part(_part(container, "state"), "waiting")
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            said = waiting.get("message") or ""
            found.append(": ".join(filter(None, (str(waiting["reason"]), said))))
    return found


def _names(item: Mapping[str, Any]) -> dict[str, Any]:
    meta = _part(item, "metadata")
    template = _part(_part(_part(item, "spec"), "template"), "metadata")
    version = _version(_part(template, "labels")) or _version(_part(meta, "labels"))
    return {"name": meta.get("name", ""), "namespace": meta.get("namespace", ""), "version": version}


def _version(labels: Mapping[str, Any]) -> int | None:
    text = str(labels.get(VERSION_LABEL, ""))
    return int(text) if text.isdecimal() else None


def _counts(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    desired = spec.get("replicas")
    return {
        "desired": 1 if desired is None else int(desired),
        "updated": _number(status, "updatedReplicas"),
        "ready": _number(status, "readyReplicas"),
        "total": _number(status, "replicas"),
    }


def _is_observed(item: Mapping[str, Any]) -> bool:
    """Whether the status is about the specification as it is now; Rollouts write the number as text."""
    generation = _part(item, "metadata").get("generation")
    observed = _part(item, "status").get("observedGeneration")
    if generation is None:
        return True
    if observed is None:
        return False
    text = str(observed)
    return int(text) >= int(generation) if text.isdecimal() else True


def _failure(status: Mapping[str, Any]) -> str:
    failure = _condition(status, "ReplicaFailure")
    return str(failure.get("message") or "") if failure.get("status") == "True" else ""


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any]
    for found in status.get("conditions") or ():
        if found.get("type") == kind:
            return found
    return {}


def _part(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = item.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(item: Mapping[str, Any], name: str) -> int:
    return int(item.get(name) or 0)
