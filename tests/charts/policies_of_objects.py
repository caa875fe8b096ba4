"""Policies about objects by themselves: names, labels, quantities, schedules, scaling, disruption."""

from __future__ import annotations

import functools
import re
import zoneinfo
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from tests.charts.manifests import SCALED, Manifests, title
from tests.charts.rendering import Document

_zones = functools.cache(zoneinfo.available_timezones)  # it reads all files of zones, each time
_LABEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL_NAME.pattern}(\.{_LABEL_NAME.pattern})*")
_LABEL_KEY = re.compile(rf"({_SUBDOMAIN.pattern}/)?[A-Za-z0-9]([-._A-Za-z0-9]{{0,61}}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_FACTORS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", 1)},
}
_MOST_NAME = {"CronJob": 52, "Job": 63, "Service": 63, "InferenceService": 53}
"""Kubernetes appends to these: jobs get a number, pods a suffix; the others become parts of host names."""
LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
)
_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_MACROS = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})


def names(manifests: Manifests) -> Iterator[str]:
    """Names are DNS names that leave room for what Kubernetes appends."""
    for document in manifests.documents:
        name, kind = str(document["metadata"].get("name", "")), str(document["kind"])
        most = _MOST_NAME.get(kind, 63)
        label = kind in _MOST_NAME or kind in SCALED
        if not (_LABEL_NAME if label else _SUBDOMAIN).fullmatch(name):
            yield f"{title(document)}: `{name}` is no DNS name"
        elif kind == "Service" and not name[0].isalpha():
            yield f"{title(document)}: a Service's name begins with a letter"
        elif len(name) > most:
            yield f"{title(document)}: the name has {len(name)} characters, {most} at most"


def duplicates(manifests: Manifests) -> Iterator[str]:
    """No object is there twice."""
    found = Counter((title(one), one["metadata"].get("namespace", "")) for one in manifests.documents)
    for (name, _), count in found.items():
        if count > 1:
            yield f"{name}: is there {count} times"


def labels(manifests: Manifests) -> Iterator[str]:
    """Labels have the form that Kubernetes takes, and the recommended ones are there."""
    for document in manifests.documents:
        found = document["metadata"].get("labels", {})
        missing = [key for key in LABELS if key not in found]
        if missing:
            yield f"{title(document)}: has no label {', '.join(missing)}"
        if found.get("app.kubernetes.io/part-of", "pilotage") != "pilotage":
            yield f"{title(document)}: app.kubernetes.io/part-of is not `pilotage`"
        yield from (f"{title(document)}: {problem}" for problem in _label_problems(found))
    for pod in manifests.pods:
        yield from (f"{pod.name}: pods: {problem}" for problem in _label_problems(pod.labels))


def _label_problems(found: Mapping[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        if not _LABEL_KEY.fullmatch(key):
            yield f"`{key}` is no key of a label"
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            yield f"label {key}: `{value}` is no value of a label"


def remarks(manifests: Manifests) -> Iterator[str]:
    """Annotations are text under a valid key."""
    for document in manifests.documents:
        for key, value in document["metadata"].get("annotations", {}).items():
            if not _LABEL_KEY.fullmatch(key):
                yield f"{title(document)}: `{key}` is no key of an annotation"
            if not isinstance(value, str):
                yield f"{title(document)}: annotation {key} is no text but {value!r}"


def quantity(text: object) -> Decimal | None:
    """What a quantity of Kubernetes stands for; None where it is none."""
    found = _QUANTITY.fullmatch(str(text))
    return Decimal(found[1]) * _FACTORS[found[2] or ""] if found else None


def quantities(manifests: Manifests) -> Iterator[str]:
    """Amounts of CPU, memory and disk are numbers with a known unit, and requests are within limits."""
    for pod in manifests.pods:
        for container in pod.containers:
            where = f"{pod.name}: container {container['name']}"
            resources = container.get("resources", {})
            yield from _amounts(where, resources.get("requests", {}), resources.get("limits", {}))
        for volume in pod.spec.get("volumes", []):
            size = (volume.get("emptyDir") or {}).get("sizeLimit")
            if size is not None and quantity(size) is None:
                yield f"{pod.name}: volume {volume['name']}: `{size}` is no quantity"
    for document in manifests.documents:
        for spec in _claims(document):
            size = spec["resources"]["requests"]["storage"]
            if not quantity(size):
                yield f"{title(document)}: `{size}` is no size of a claim"


def _claims(document: Document) -> Iterator[Mapping[str, Any]]:
    if document["kind"] == "PersistentVolumeClaim":
        yield document["spec"]
    if document["kind"] == "StatefulSet":
        yield from (one["spec"] for one in document["spec"].get("volumeClaimTemplates", []))


def _amounts(where: str, requests: Mapping[str, Any], limits: Mapping[str, Any]) -> Iterator[str]:
    for kind, part in (("request", requests), ("limit", limits)):
        for resource, amount in part.items():
            if not quantity(amount):
                yield f"{where}: {kind} of {resource}: `{amount}` is no amount"
            elif resource == "memory" and str(amount).endswith("m"):
                yield f"{where}: {kind} of memory: `{amount}` is thousandths of bytes"
    for resource in requests.keys() & limits.keys():
        least, most = quantity(requests[resource]), quantity(limits[resource])
        if least and most and least > most:
            yield f"{where}: requests more {resource} ({requests[resource]}) than {limits[resource]}"


def schedules(manifests: Manifests) -> Iterator[str]:
    """CronJobs have a schedule and a zone that exist, do not pile up, and end."""
    for document in manifests.of("CronJob"):
        spec = document["spec"]
        yield from (f"{title(document)}: {problem}" for problem in cron_problems(str(spec["schedule"])))
        if spec.get("timeZone", "Etc/UTC") not in _zones():
            yield f"{title(document)}: there is no time zone `{spec['timeZone']}`"
        if spec.get("concurrencyPolicy") not in ("Forbid", "Replace"):
            yield f"{title(document)}: concurrencyPolicy is not Forbid: slow jobs pile up"
        if not spec.get("startingDeadlineSeconds", 0) >= 10:
            yield f"{title(document)}: startingDeadlineSeconds is missing or under 10: jobs may never start"
        for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            if key not in spec:
                yield f"{title(document)}: {key} is missing"
        if "activeDeadlineSeconds" not in spec["jobTemplate"]["spec"]:
            yield f"{title(document)}: activeDeadlineSeconds is missing: one that hangs blocks all others"


def cron_problems(schedule: str) -> Iterator[str]:
    """What is wrong with a schedule in cron's words."""
    if schedule in _MACROS:
        return
    fields = schedule.split()
    if len(fields) != len(_CRON):
        yield f"`{schedule}` has {len(fields)} fields, cron has {len(_CRON)}"
        return
    for place, (field, (least, most)) in enumerate(zip(fields, _CRON, strict=True)):
        words = {3: dict(zip(_MONTHS, range(1, 13), strict=True)), 4: dict(zip(_DAYS, range(7), strict=True))}
        for part in field.split(","):
            span, _, step = part.partition("/")
            ends = [] if span in ("*", "?") else span.split("-")
            numbers = [words.get(place, {}).get(end.lower(), end) for end in ends]
            right = len(ends) <= 2 and (not step or (step.isdigit() and int(step) > 0) or not part)
            right = right and ("/" not in part or bool(step)) and all(str(one).isdigit() for one in numbers)
            values = [int(one) for one in numbers] if right else []
            if not right or values != sorted(values) or any(not least <= one <= most for one in values):
                yield f"`{part}` is nothing that field {place + 1} of `{schedule}` may hold"


def scaling(manifests: Manifests) -> Iterator[str]:
    """Autoscalers have a target that exists, leave its number to themselves, and a use of CPU to look at."""
    for document in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec, where = document["spec"], title(document)
        target = spec["scaleTargetRef"]
        found = manifests.named(target.get("kind", "Deployment"), target["name"])
        least = spec.get("minReplicas", spec.get("minReplicaCount", 1))
        most = spec.get("maxReplicas", spec.get("maxReplicaCount", 1))
        if least > most:
            yield f"{where}: fewest ({least}) are more than most ({most})"
        if found is None or found["kind"] not in SCALED:
            yield f"{where}: there is no {target.get('kind')}/{target['name']} to scale"
            continue
        if target.get("apiVersion") != found["apiVersion"]:
            yield f"{where}: {title(found)} is of {found['apiVersion']}, not of {target.get('apiVersion')}"
        if "replicas" in found["spec"]:
            yield f"{where}: {title(found)} has `replicas`, which each release would set back"


def disruption(manifests: Manifests) -> Iterator[str]:
    """Budgets select pods and let at least one go, so that nodes can be drained and rollouts proceed."""
    for document in manifests.of("PodDisruptionBudget"):
        spec, where = document["spec"], title(document)
        pods = [pod for pod in manifests.selected(spec.get("selector", {})) if spec.get("selector")]
        if not pods:
            yield f"{where}: selects no pods"
        fewest = min((_fewest(manifests, pod.owner) for pod in pods), default=0)
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if most in (0, "0", "0%") or least == "100%" or (isinstance(least, int) and pods and least >= fewest):
            yield f"{where}: lets no pod of {fewest} go: nodes cannot be drained"
        if (least is None) == (most is None):
            yield f"{where}: needs one of minAvailable and maxUnavailable"


def _fewest(manifests: Manifests, owner: Document) -> int:
    """How many pods there are at least."""
    for scaler in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec = scaler["spec"]
        if spec["scaleTargetRef"]["name"] == owner["metadata"]["name"]:
            return int(spec.get("minReplicas", spec.get("minReplicaCount", 1)))
    spec = owner["spec"]
    return int(spec.get("predictor", {}).get("minReplicas", spec.get("replicas", 1)))


def updates(manifests: Manifests) -> Iterator[str]:
    """A Deployment or Rollout puts a new pod in place before an old one ends, or says that it cannot."""
    for document in manifests.of("Deployment", "Rollout"):
        strategy = document["spec"].get("strategy", {})
        if strategy.get("type") == "Recreate":
            continue
        rolling = strategy.get("canary", strategy.get("rollingUpdate", {}))
        if rolling.get("maxUnavailable") not in (0, "0", "0%") or rolling.get("maxSurge") in (
            None,
            0,
            "0",
            "0%",
        ):
            yield f"{title(document)}: an update (maxUnavailable, maxSurge) ends pods before others are ready"


POLICIES = {
    "names": names,
    "duplicates": duplicates,
    "labels": labels,
    "annotations": remarks,
    "quantities": quantities,
    "schedules": schedules,
    "scaling": scaling,
    "disruption": disruption,
    "updates": updates,
}
