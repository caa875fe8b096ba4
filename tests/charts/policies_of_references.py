"""Policies about what manifests say of each other: selectors, ports, and names of what must exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.charts.manifests import Manifests, Pod, fits, title
from tests.charts.rendering import Document

_SELECTING = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
HASH = "rollouts-pod-template-hash"
"""Label that Argo Rollouts gives pods."""


def selectors(manifests: Manifests) -> Iterator[str]:
    """Workloads select their own pods and nobody else's."""
    for document in manifests.of(*_SELECTING):
        selector = document["spec"].get("selector", {})
        if not selector.get("matchLabels"):
            yield f"{title(document)}: selects by no labels"
            continue
        own = [pod for pod in manifests.pods if pod.owner is document]
        if not fits(selector, own[0].labels):
            yield f"{title(document)}: its selector does not fit its pods' labels"
        for pod in manifests.selected(selector):
            if pod.owner is not document:
                yield f"{title(document)}: its selector fits pods of {pod.name}"
        yield from _spread(document, own[0])


def _spread(document: Document, pod: Pod) -> Iterator[str]:
    for part in pod.spec.get("topologySpreadConstraints", []):
        if not fits(part.get("labelSelector", {}), pod.labels) or not part.get("labelSelector"):
            yield f"{title(document)}: topologySpreadConstraints do not fit its own pods"


def services(manifests: Manifests) -> Iterator[str]:
    """Services select pods that listen on the port that they send to."""
    for document in manifests.of("Service"):
        spec = document["spec"]
        if not spec.get("selector"):
            yield f"{title(document)}: selects by no labels"
            continue
        pods = manifests.selected({"matchLabels": spec["selector"]})
        if not pods:
            yield f"{title(document)}: selects no pods"
        names = [port.get("name") for port in spec["ports"]]
        if len(set(names)) != len(names) or (len(names) > 1 and None in names):
            yield f"{title(document)}: its ports have no names of their own"
        for port in spec["ports"]:
            target = port.get("targetPort", port["port"])
            for pod in pods:
                if not pod.port(target):
                    yield f"{title(document)}: sends to port {target}, which {pod.name} does not have"


def network_policies(manifests: Manifests) -> Iterator[str]:
    """Every pod is under a policy for both directions, and no rule is open to all.

    A policy in a namespace of its own is for pods that others make.
    """
    policies = manifests.of("NetworkPolicy")
    for document in policies:
        pods = manifests.selected(document["spec"]["podSelector"])
        if not pods and "namespace" not in document["metadata"]:
            yield f"{title(document)}: selects no pods"
        yield from (f"{title(document)}: {problem}" for problem in _rules(document["spec"], pods))
    for pod in manifests.pods if policies else []:
        for direction in ("Ingress", "Egress"):
            if not any(
                direction in one["spec"].get("policyTypes", [])
                and fits(one["spec"]["podSelector"], pod.labels)
                for one in policies
            ):
                yield f"{pod.name}: no NetworkPolicy denies its {direction.lower()}"


def _rules(spec: Mapping[str, Any], pods: list[Pod]) -> Iterator[str]:
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction, []):
            if not rule.get(side):
                yield f"an {direction} rule is open to everybody"
            own = [{"podSelector": spec["podSelector"]}]
            if not rule.get("ports") and (rule.get(side) != own or not spec["podSelector"]):
                yield f"an {direction} rule is open on every port"
            for peer in rule.get(side, []):
                if peer.get("ipBlock", {}).get("cidr") in ("0.0.0.0/0", "::/0"):
                    yield f"an {direction} rule is open to every address"
                if peer.get("namespaceSelector") == {}:
                    yield f"an {direction} rule is open to every namespace"
            for port in rule.get("ports", []) if direction == "ingress" else []:
                for pod in pods:
                    if not pod.port(port["port"]):
                        yield f"lets in to port {port['port']}, which {pod.name} does not have"


def references(manifests: Manifests) -> Iterator[str]:
    """Secrets, ConfigMaps, claims and accounts that pods name are made by the chart or listed as external."""
    for pod in manifests.pods:
        for kind, name, keys in _named(pod.spec):
            if not manifests.exists(kind, name):
                yield f"{pod.name}: {kind}/{name} is neither in the chart nor listed as external"
                continue
            made = manifests.named(kind, name)
            for key in keys if made is not None and kind in ("ConfigMap", "Secret") else []:
                if made is not None and key not in {**made.get("data", {}), **made.get("binaryData", {})}:
                    yield f"{pod.name}: {kind}/{name} has no key {key}"


def _named(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Kind, name and keys of everything that a pod names."""
    if spec.get("serviceAccountName"):
        yield "ServiceAccount", spec["serviceAccountName"], []
    if spec.get("priorityClassName"):
        yield "PriorityClass", spec["priorityClassName"], []
    for secret in spec.get("imagePullSecrets", []):
        yield "Secret", secret["name"], []
    for volume in spec.get("volumes", []):
        yield from _volume(volume)
        for source in volume.get("projected", {}).get("sources", []):
            yield from _volume(source)
    for container in [*spec.get("initContainers", []), *spec.get("containers", [])]:
        for source in container.get("envFrom", []):
            for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                if key in source:
                    yield kind, source[key]["name"], []
        for variable in container.get("env", []):
            for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                found = variable.get("valueFrom", {}).get(key)
                if found:
                    yield kind, found["name"], [found["key"]]


def _volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for key, kind, name in (
        ("secret", "Secret", "secretName"),
        ("configMap", "ConfigMap", "name"),
        ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
    ):
        source = volume.get(key)
        if source:
            yield (
                kind,
                source.get(name, source.get("name", "")),
                [one["key"] for one in source.get("items", [])],
            )


def mounts(manifests: Manifests) -> Iterator[str]:
    """What is mounted is a volume, every volume is mounted, and no two are in one place."""
    for pod in manifests.pods:
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        claims = pod.owner["spec"].get("volumeClaimTemplates", []) if pod.kind == "StatefulSet" else []
        volumes |= {claim["metadata"]["name"] for claim in claims}
        mounted: set[str] = set()
        for container in pod.containers:
            found = container.get("volumeMounts", [])
            mounted |= {mount["name"] for mount in found}
            places = [mount["mountPath"] for mount in found]
            if len(set(places)) != len(places):
                yield f"{pod.name}: container {container['name']} mounts two volumes in one place"
        for name in sorted(mounted - volumes):
            yield f"{pod.name}: mounts {name}, which is no volume"
        for name in sorted(volumes - mounted):
            yield f"{pod.name}: nobody mounts volume {name}"


def routes(manifests: Manifests) -> Iterator[str]:
    """Routes and ingresses lead to ports that Services have."""
    for document in manifests.of("HTTPRoute"):
        for rule in document["spec"]["rules"]:
            mirrors = [
                part["requestMirror"]["backendRef"]
                for part in rule.get("filters", [])
                if "requestMirror" in part
            ]
            for backend in [*rule["backendRefs"], *mirrors]:
                yield from _backend(manifests, document, backend["name"], backend["port"])
    for document in manifests.of("Ingress"):
        for rule in document["spec"].get("rules", []):
            for path in rule.get("http", {}).get("paths", []):
                service = path["backend"]["service"]
                port = service["port"].get("name", service["port"].get("number"))
                yield from _backend(manifests, document, service["name"], port)


def _backend(manifests: Manifests, document: Document, name: str, port: int | str) -> Iterator[str]:
    service = manifests.named("Service", name)
    if not manifests.exists("Service", name):
        yield f"{title(document)}: there is no Service/{name}"
    elif service and all(port not in (one["port"], one.get("name")) for one in service["spec"]["ports"]):
        yield f"{title(document)}: Service/{name} has no port {port}"


def rollouts(manifests: Manifests) -> Iterator[str]:
    """What a Rollout names exists: its Services, route and analyses, with the arguments that they take."""
    for document in manifests.of("Rollout"):
        canary = document["spec"]["strategy"]["canary"]
        for key in ("stableService", "canaryService"):
            if key in canary and not manifests.exists("Service", canary[key]):
                yield f"{title(document)}: {key} names Service/{canary[key]}, which is not there"
        plugin = canary.get("trafficRouting", {}).get("plugins", {}).get("argoproj-labs/gatewayAPI")
        if plugin and manifests.named("HTTPRoute", plugin["httpRoute"]) is None:
            yield f"{title(document)}: HTTPRoute/{plugin['httpRoute']} is not there"
        for name, given in _analyses(canary):
            template = manifests.named("AnalysisTemplate", name)
            wanted = (
                {one["name"] for one in template["spec"].get("args", []) if "value" not in one}
                if template
                else set()
            )
            if template is None:
                yield f"{title(document)}: AnalysisTemplate/{name} is not there"
            elif wanted != given:
                takes = f"takes {sorted(wanted)} and is given {sorted(given)}"
                yield f"{title(document)}: AnalysisTemplate/{name} {takes}"


def _analyses(canary: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    steps = canary.get("steps", [])
    for part in [canary.get("analysis", {}), *(step.get("analysis", {}) for step in steps)]:
        for template in part.get("templates", []):
            yield template["templateName"], {one["name"] for one in part.get("args", [])}
    for step in steps:
        for part in step.get("experiment", {}).get("analyses", []):
            yield part["templateName"], {one["name"] for one in part.get("args", [])}


def monitors(manifests: Manifests) -> Iterator[str]:
    """ServiceMonitors find a Service with the port that they ask, and no two Services over the same pods."""
    for document in manifests.of("ServiceMonitor"):
        found = [
            service
            for service in manifests.of("Service")
            if fits(document["spec"]["selector"], service["metadata"].get("labels", {}))
        ]
        if not found:
            yield f"{title(document)}: selects no Service"
        for endpoint in document["spec"]["endpoints"]:
            for service in found:
                if all(endpoint["port"] != port.get("name") for port in service["spec"]["ports"]):
                    yield f"{title(document)}: {title(service)} has no port named {endpoint['port']}"
        chosen = [tuple(sorted(service["spec"].get("selector", {}).items())) for service in found]
        if len(set(chosen)) != len(chosen):
            yield f"{title(document)}: two Services select the same pods, which would be counted twice"


def rights(manifests: Manifests) -> Iterator[str]:
    """Roles grant named verbs on named resources, to accounts that exist."""
    for document in manifests.of("Role", "ClusterRole"):
        for rule in document.get("rules", []):
            for key in ("verbs", "resources", "apiGroups"):
                if not rule.get(key) or "*" in rule[key]:
                    yield f"{title(document)}: a rule has no, or all, {key}"
    for document in manifests.of("RoleBinding", "ClusterRoleBinding"):
        role = document["roleRef"]
        if not manifests.exists(role["kind"], role["name"]):
            yield f"{title(document)}: there is no {role['kind']}/{role['name']}"
        for subject in document.get("subjects", []):
            if subject["kind"] != "ServiceAccount" or not manifests.exists("ServiceAccount", subject["name"]):
                whom = f"{subject['kind']}/{subject['name']}"
                yield f"{title(document)}: grants to {whom}, which is no account of the chart"


POLICIES = {
    "selectors": selectors,
    "services": services,
    "network_policies": network_policies,
    "references": references,
    "mounts": mounts,
    "routes": routes,
    "rollouts": rollouts,
    "monitors": monitors,
    "rights": rights,
}
