"""Policies about pods: what they may do, what they take, how they begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.charts.manifests import SERVERS, Manifests, Pod

USER = 10001
_IMAGE = re.compile(
    r"(?:[a-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::(?P<tag>[A-Za-z0-9_][-.A-Za-z0-9_]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
"""Kinds of volumes that PodSecurity `restricted` allows."""
_SECRET_NAME = re.compile(
    r"(?i)(password|passwd|secret|token|access_key_id|api_?key|private_key|credentials)$"
)
_NAME_OF_SECRET = frozenset({"PILOTAGE_COMPONENTS_SECRET"})
"""Variables that say which Secret, not what is in it."""
_SERVER_DRAIN_SECONDS = 30
"""What a model server's own drain may take at most."""


def restricted(manifests: Manifests) -> Iterator[str]:
    """Pods are what PodSecurity `restricted` admits, run as our user, and cannot write to their root."""
    for pod in manifests.pods:
        yield from (f"{pod.name}: {problem}" for problem in _pod_problems(pod))
        for container in pod.containers:
            for problem in _container_problems(container, pod.spec.get("securityContext", {})):
                yield f"{pod.name}: container {container['name']}: {problem}"


def _pod_problems(pod: Pod) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if pod.spec.get(key):
            yield f"{key} is on"
    if pod.spec.get("ephemeralContainers"):
        yield "has ephemeral containers"
    for volume in pod.spec.get("volumes", []):
        kinds = volume.keys() - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume['name']} is a {', '.join(sorted(kinds - _VOLUMES))}"
    if pod.spec.get("securityContext", {}).get("sysctls"):
        yield "sets sysctls"


def _container_problems(container: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**above, **own}
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if both.get("runAsUser") != USER or both.get("runAsGroup") != USER:
        yield f"runs as {both.get('runAsUser')}:{both.get('runAsGroup')}, not as {USER}:{USER}"
    if both.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "its seccomp profile is not RuntimeDefault"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    if own.get("privileged"):
        yield "is privileged"
    if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
        yield "does not drop ALL capabilities"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "takes a port of the node"


def tokens(manifests: Manifests) -> Iterator[str]:
    """Nobody has a token of Kubernetes who is not listed, nor variables of Services, whose names are ours."""
    for pod in manifests.pods:
        if (
            pod.spec.get("automountServiceAccountToken") is not False
            and pod.name not in manifests.external.tokens
        ):
            yield f"{pod.name}: automountServiceAccountToken is not false"
        if not pod.spec.get("serviceAccountName"):
            yield f"{pod.name}: has no service account of its own"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: enableServiceLinks is on: variables of Services look like settings"
    for account in manifests.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{account['metadata']['name']}: automountServiceAccountToken is not false"


def images(manifests: Manifests) -> Iterator[str]:
    """Images are pinned by a tag that is not `latest`, or a digest."""
    for pod in manifests.pods:
        for container in pod.containers:
            found = _IMAGE.fullmatch(str(container.get("image", "")))
            if found is None:
                yield f"{pod.name}: `{container.get('image')}` is no name of an image"
            elif not found["digest"] and found["tag"] in (None, "latest"):
                yield f"{pod.name}: `{container['image']}` is not pinned"
            if not container.get("imagePullPolicy"):
                yield f"{pod.name}: container {container['name']} has no imagePullPolicy"


def resources(manifests: Manifests) -> Iterator[str]:
    """Every container says what it takes, and at most takes; every scratch disk has a limit."""
    for pod in manifests.pods:
        for container in pod.containers:
            for kind in ("requests", "limits"):
                missing = {"cpu", "memory"} - container.get("resources", {}).get(kind, {}).keys()
                if missing:
                    names = ", ".join(sorted(missing))
                    yield f"{pod.name}: container {container['name']} has no {kind} of {names}"
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{pod.name}: volume {volume['name']} has no sizeLimit"


def restarts(manifests: Manifests) -> Iterator[str]:
    """Pods that serve begin again when they end; jobs do not for ever."""
    for pod in manifests.pods:
        policy = pod.spec.get("restartPolicy", "Always")
        if (policy == "Always") != (pod.kind in SERVERS):
            yield f"{pod.name}: restartPolicy is {policy}"


def probes(manifests: Manifests) -> Iterator[str]:
    """Servers are asked whether they are ready and alive, on a port that they have."""
    for pod in manifests.pods:
        if pod.kind not in SERVERS:
            continue
        for container in pod.spec["containers"]:
            where = f"{pod.name}: container {container['name']}"
            for key in ("readinessProbe", "livenessProbe"):
                if key not in container:
                    yield f"{where}: has no {key}"
            for key in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = _probed(container.get(key, {}))
                if port is not None and not pod.port(port):
                    yield f"{where}: {key} asks port {port}, which it does not have"
            if container.get("livenessProbe") == container.get("readinessProbe"):
                yield f"{where}: asks the same for ready and alive: what is busy would be killed"


def _probed(probe: Mapping[str, Any]) -> int | str | None:
    for kind in ("httpGet", "tcpSocket", "grpc"):
        if kind in probe:
            port: int | str = probe[kind]["port"]
            return port
    return None


def ends(manifests: Manifests) -> Iterator[str]:
    """A pod has time for all that its end takes: the wait before, the drain, and the server's own."""
    for pod in manifests.pods:
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        for container in pod.spec["containers"]:
            wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain = next(
                (
                    float(variable["value"])
                    for variable in container.get("env", [])
                    if variable["name"] == "PILOTAGE_DRAIN_DELAY_SECONDS"
                ),
                None,
            )
            needed = wait + (0 if drain is None else drain + _SERVER_DRAIN_SECONDS)
            if grace <= needed:
                yield f"{pod.name}: has {grace} s to end, and needs more than {needed:g} s"


def secrets(manifests: Manifests) -> Iterator[str]:
    """No secret stands in a manifest: neither a variable's value, nor a Secret, nor a password in a URL."""
    for pod in manifests.pods:
        for container in pod.containers:
            for variable in container.get("env", []):
                value = str(variable.get("value", ""))
                if (
                    _SECRET_NAME.search(variable["name"])
                    and value
                    and variable["name"] not in _NAME_OF_SECRET
                ):
                    yield f"{pod.name}: {variable['name']} has its value in the manifest"
                if re.search(r"://[^/@\s]*:[^/@\s]+@", value):
                    yield f"{pod.name}: {variable['name']} has a password in its URL"
    for document in manifests.of("Secret"):
        if document.get("data") or document.get("stringData"):
            yield f"Secret/{document['metadata']['name']}: has its content in the manifest"


def variables(manifests: Manifests) -> Iterator[str]:
    """No variable is set twice: the last one would win without a word."""
    for pod in manifests.pods:
        for container in pod.containers:
            found = [variable["name"] for variable in container.get("env", [])]
            for name in sorted({name for name in found if found.count(name) > 1}):
                yield f"{pod.name}: container {container['name']} sets {name} twice"


POLICIES = {
    "restricted": restricted,
    "tokens": tokens,
    "images": images,
    "resources": resources,
    "restarts": restarts,
    "probes": probes,
    "ends": ends,
    "secrets": secrets,
    "variables": variables,
}
