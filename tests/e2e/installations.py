"""One installation in a cluster: made, asked, changed, looked into when something fails, and removed."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.e2e import kubectls, manifests
from tests.e2e.environments import Environment
from tests.e2e.kubectls import Document, Kubectl, has_ended, is_pod_ready, is_ready, wait_until
from tests.e2e.manifests import PILOT, Places

_LINES = 60
"""Of a container's log, in a diagnosis."""


@dataclass
class Installation:
    """The namespaces of one run and what is in them."""

    environment: Environment
    kubectl: Kubectl = field(default_factory=Kubectl)
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self.places = Places.of(self.environment)
        self.platform = self.kubectl.within(self.places.platform)
        self.models = self.kubectl.within(self.places.models)

    def begin(self) -> None:
        """Install the platform into fresh namespaces and wait until it is ready."""
        self.remove()
        for name in (self.places.platform, self.places.models):
            self.kubectl.apply([manifests.namespace(name), *manifests.pull_secret(self.environment, name)])
        key = secrets.token_urlsafe(32)
        passwords = {"console": secrets.token_hex(16), "mlflow": secrets.token_hex(16)}
        self.platform.apply(
            [
                manifests.secret("pilotage", self.places.platform, {"installation-key": key}),
                manifests.secret("pilotage", self.places.models, {"installation-key": key}),
                manifests.secret("pilotage-passwords", self.places.platform, passwords),
            ]
        )
        self.install_platform()

    def install_platform(self, **changes: Any) -> None:
        """Apply charts/pilotage and wait until all of it runs as it says."""
        values = manifests.platform_values(self.environment, self.places, **changes)
        documents = manifests.render("pilotage", values, self.places.platform)
        self.platform.apply(documents)
        self.wait_for(self.platform, documents)

    def install_model(self, version: int) -> None:
        """Apply charts/model for a version and wait until nothing else is served."""
        values = manifests.model_values(self.environment, self.places, version, self.node())
        documents = manifests.render("model", values, self.places.models)
        self.models.apply(documents)
        self.wait_for(self.models, documents)

    def wait_for(self, where: Kubectl, documents: list[Document]) -> None:
        """Wait for the workloads and Jobs among `documents`."""
        for document in documents:
            kind, name = document["kind"], document["metadata"]["name"]
            if kind in ("Deployment", "StatefulSet"):
                self.wait(f"{kind} {name}", partial(_is_ready, where, kind.lower(), name))
            elif kind == "Job":
                self.wait(f"Job {name}", partial(_has_ended, where, name))

    def wait(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something holds, with a diagnosis when it does not."""
        wait_until(
            what,
            holds,
            seconds=self.environment.patience_seconds,
            diagnose=self.diagnose,
            sleep=self.sleep,
        )

    def console(self, *arguments: str, seconds: float = 600) -> dict[str, Any]:
        """What a command prints that runs in a console's pod."""
        told = self.platform.run(
            "exec", "deployment/pilotage-console", "-c", "console", "--", "pilotage", *arguments, "--json",
            seconds=seconds,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(told)
        return found

    def train(self) -> int:
        """Train a version on the platform; returns its number."""
        folder = f"/etc/pilotage/pilots/{PILOT}"
        return int(self.console("run", folder, "--no-cache", seconds=1200)["version"])

    def give_token(self) -> str:
        """Let the monitor's CronJob tell the console what it finds; returns the token that it shows."""
        name = "monitor-" + PILOT
        self.console("users", "add", name, "--role", f"monitor@{PILOT}")
        made = self.console("users", "token", name, "--role", f"monitor@{PILOT}", "--name", "e2e")
        token = manifests.secret("pilotage-monitor", self.places.models, {"token": made["secret"]})
        self.models.apply([token])
        return str(made["secret"])

    def pods(self) -> list[Document]:
        """The model's servers that are not about to end."""
        found = self.models.items("pods", f"pilotage.dev/pilot={PILOT},app.kubernetes.io/component=server")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def node(self) -> str:
        """Name of the first node that takes pods; its label `kubernetes.io/hostname`."""
        for node in self.kubectl.items("nodes"):
            if can_take_pods(node):
                return str(node["metadata"]["labels"]["kubernetes.io/hostname"])
        raise AssertionError("no node of the cluster is ready and takes pods")

    @contextmanager
    def load(self, seconds: int) -> Iterator[dict[str, Any]]:
        """Ask the model from within while the block runs; the mapping has the outcome after it."""
        outcome: dict[str, Any] = {}
        self.models.try_run("delete", "job,configmap", "load", "--ignore-not-found", "--wait")
        self.models.apply(manifests.load(self.environment, self.places, seconds))
        self.wait("the load", lambda: self.models.get("job", "load").get("status", {}).get("ready"))
        yield outcome
        self.wait("the end of the load", lambda: has_ended(self.models.get("job", "load")))
        outcome |= json.loads(self.models.run("logs", "job/load").strip().splitlines()[-1])

    def drain(self) -> int:
        """Evict every server there is, as the drain of their node would; returns how often that had to wait.

        The node itself stays: it may be the only one.
        """
        refused, left = 0, [str(pod["metadata"]["name"]) for pod in self.pods()]

        def evicted() -> bool:
            nonlocal refused
            for name in list(left):
                if self.models.evict(name):
                    left.remove(name)
                else:
                    refused += 1
            return not left

        self.wait("the evictions", evicted)
        return refused

    def diagnose(self) -> str:
        """Events, pods, and what containers that are not ready said last."""
        parts = []
        for where in (self.platform, self.models):
            parts.append(f"--- {where.namespace}")
            parts.append(where.try_run("get", "pods,jobs,pvc", "-o", "wide"))
            parts.append(where.try_run("get", "events", "--sort-by=.lastTimestamp"))
            for name in _unready(where):
                parts.append(where.try_run("describe", "pod", name))
                parts.append(where.try_run("logs", name, "--all-containers", "--prefix", f"--tail={_LINES}"))
        return "\n".join(parts)

    def remove(self) -> None:
        """Take both namespaces away, with all that is in them, and wait until they are gone."""
        names = (self.places.models, self.places.platform)
        self.kubectl.run(
            "delete", "namespace", *names, "--ignore-not-found", "--wait", "--timeout=300s", seconds=320
        )


def _is_ready(where: Kubectl, kind: str, name: str) -> bool:
    return is_ready(where.get(kind, name))


def _has_ended(where: Kubectl, name: str) -> bool:
    return has_ended(where.get("job", name))


def can_take_pods(node: Document) -> bool:
    """Whether a node is ready, not cordoned, and without a taint that keeps plain pods off."""
    spec = node.get("spec", {})
    kept_off = any(taint.get("effect") in ("NoSchedule", "NoExecute") for taint in spec.get("taints", ()))
    conditions = node.get("status", {}).get("conditions", ())
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and not kept_off and not spec.get("unschedulable", False)


def _unready(where: Kubectl) -> list[str]:
    try:
        pods = where.items("pods")
    except kubectls.KubectlFailed:
        return []
    return [
        str(pod["metadata"]["name"])
        for pod in pods
        if pod.get("status", {}).get("phase") != "Succeeded" and not is_pod_ready(pod)
    ]
