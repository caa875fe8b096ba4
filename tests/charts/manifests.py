"""All manifests of one rendering at hand: pods by who makes them, objects by kind, and what selects what.

`policies` ask it; nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.charts import schemas
from tests.charts.rendering import Document

SERVERS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Rollout", "InferenceService"})
"""Kinds whose pods go on until they are told to stop."""
SCALED = frozenset({"Deployment", "StatefulSet", "Rollout"})


@dataclass(frozen=True)
class External:
    """What manifests may refer to although the chart does not make it, by kind."""

    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()
    """Pods, by who makes them (`Deployment/console`), that may have a token of their service account."""

    def has(self, kind: str, name: str) -> bool:
        """Whether an object exists outside."""
        return name in self.names.get(kind, frozenset())


@dataclass(frozen=True)
class Pod:
    """The pods that one object makes."""

    owner: Document
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Kind of the object that makes them."""
        return str(self.owner["kind"])

    @property
    def name(self) -> str:
        """Who makes them, as `Kind/name`."""
        return f"{self.kind}/{self.owner['metadata']['name']}"

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """Containers, those that run before the others first."""
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]

    def port(self, port: int | str) -> bool:
        """Whether a container listens on a port of that name or number."""
        return any(
            port in (found.get("name"), found.get("containerPort"))
            for container in self.containers
            for found in container.get("ports", [])
        )


class Manifests:
    """One rendering."""

    def __init__(self, documents: Sequence[Document], external: External | None = None) -> None:
        self.documents = list(documents)
        self.external = external or External()
        self.pods = [pod for document in documents for pod in _pods(document)]

    def of(self, *kinds: str) -> list[Document]:
        """Objects of those kinds."""
        return [document for document in self.documents if document.get("kind") in kinds]

    def named(self, kind: str, name: str) -> Document | None:
        """The object of that kind and name."""
        return next((one for one in self.of(kind) if one["metadata"].get("name") == name), None)

    def exists(self, kind: str, name: str) -> bool:
        """Whether the chart makes such an object, or somebody else does."""
        if kind == "Service" and name.endswith("-predictor"):  # KServe makes it
            return self.named("InferenceService", name.removesuffix("-predictor")) is not None
        return self.named(kind, name) is not None or self.external.has(kind, name)

    def selected(self, selector: Mapping[str, Any]) -> list[Pod]:
        """Pods whose labels fit a selector of the form `{matchLabels, matchExpressions}`."""
        return [pod for pod in self.pods if fits(selector, pod.labels)]


def title(document: Document) -> str:
    """An object as `Kind/name`."""
    return f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"


def fits(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels fit a selector; an empty one fits all."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expressed(part, labels) for part in selector.get("matchExpressions") or [])


def _expressed(part: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, operator = labels.get(part["key"]), part["operator"]
    if operator in ("In", "NotIn"):
        return (value in part["values"]) is (operator == "In")
    return (value is not None) is (operator == "Exists")


def _pods(document: Document) -> Iterator[Pod]:
    for template in schemas.pod_templates(document):
        labels = template.get("metadata", {}).get("labels", {})
        yield Pod(document, labels, template["spec"])
        for changed in _experiments(document):
            yield Pod(document, {**labels, **changed}, template["spec"])


def _experiments(document: Document) -> Iterator[Mapping[str, str]]:
    """Labels that a Rollout's experiments give its pods in place of their own."""
    canary = (document.get("spec") or {}).get("strategy", {}).get("canary", {})
    for step in canary.get("steps", []) if document.get("kind") == "Rollout" else []:
        for template in step.get("experiment", {}).get("templates", []):
            yield template.get("metadata", {}).get("labels", {})
