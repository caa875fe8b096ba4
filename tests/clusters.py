"""A stand-in for a cluster's API server: it answers what the Kubernetes client asks, and no more.

It checks method, path, token and, as RBAC does, whether the account may list the
kind in the namespace; it selects by labels; and it fails as real ones do, when it
is told to. Controllers are played by the test, which changes objects.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[a-z0-9.-]+)/v[a-z0-9]+)/namespaces/(?P<space>[a-z0-9-]+)/(?P<plural>[a-z]+)"
)
TOKEN = "token-of-the-console"
KINDS = ("deployments.apps", "rollouts.argoproj.io", "inferenceservices.serving.kserve.io", "pods")


@dataclass
class Answer:
    """What is answered in place of what is there, for a number of requests."""

    status: int
    message: str = "as the test says"
    times: int = 1
    seconds: float = 0.0
    """After a wait."""
    body: bytes | None = None


@dataclass
class FakeCluster:
    """One API server, with what is in it."""

    url: str = ""
    token: str = TOKEN
    objects: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """By kind and namespace."""
    known: set[str] = field(default_factory=lambda: set(KINDS))
    """Kinds that are served; of others the API server answers 404."""
    allowed: set[str] = field(default_factory=lambda: set(KINDS))
    """Kinds that the account may list."""
    answers: list[Answer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Every request: method, path and query."""
    wrong: list[str] = field(default_factory=list)
    """Requests that no account of Pilotage's may make."""

    def put(self, kind: str, namespace: str, item: dict[str, Any]) -> None:
        """Let there be one object of that name."""
        held = self.objects.setdefault((kind, namespace), [])
        name = item["metadata"]["name"]
        held[:] = [other for other in held if other["metadata"]["name"] != name] + [item]

    def answer(self, method: str, target: str, token: str) -> tuple[int, bytes]:
        """What a request gets."""
        self.asked.append(f"{method} {target}")
        for planned in self.answers[:1]:
            planned.times -= 1
            if planned.times <= 0:
                self.answers.pop(0)
            time.sleep(planned.seconds)
            return planned.status, planned.body or _status(planned.status, planned.message)
        parts = urlsplit(target)
        found = _PATH.fullmatch(parts.path)
        if method != "GET" or found is None:
            self.wrong.append(f"{method} {target}")
            return 405, _status(405, "the server does not allow this method")
        if token != f"bearer {self.token}".lower() and token.lower() != f"bearer {self.token}".lower():
            return 401, _status(401, "Unauthorized")
        kind = ".".join(filter(None, (found["plural"], found["group"])))
        space = found["space"]
        if kind not in self.known:
            return 404, b"404 page not found\n"
        if kind not in self.allowed:
            who = "system:serviceaccount:pilotage:console"
            said = f'{kind} is forbidden: User "{who}" cannot list resource "{found["plural"]}"'
            return 403, _status(
                403, f'{said} in API group "{found["group"] or ""}" in the namespace "{space}"'
            )
        wanted = dict(
            pair.split("=", 1)
            for pair in parse_qs(parts.query).get("labelSelector", [""])[0].split(",")
            if pair
        )
        items = [
            item
            for item in self.objects.get((kind, space), [])
            if wanted.items() <= item["metadata"].get("labels", {}).items()
        ]
        return 200, json.dumps(
            {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}
        ).encode()

    def kubeconfig(self, folder: Path, namespace: str = "models") -> Path:
        """A file that leads here."""
        path = folder / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "console", "user": {"token": self.token}}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": "console", "namespace": namespace}}
            ],
        }
        path.write_text(yaml.safe_dump(document))
        return path


@contextmanager
def serving() -> Iterator[FakeCluster]:
    """A cluster on loopback while the block runs."""
    cluster = FakeCluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            status, body = cluster.answer(self.command, self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # whoever asked gave up waiting
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def labels(pilot: str, version: int, component: str = "server") -> dict[str, str]:
    """Labels as the chart sets them."""
    return {
        "pilotage.dev/pilot": pilot,
        "pilotage.dev/version": str(version),
        "app.kubernetes.io/component": component,
    }


def deployment(
    pilot: str,
    version: int,
    *,
    replicas: int = 2,
    updated: int | None = None,
    ready: int | None = None,
    total: int | None = None,
    generation: int = 1,
    observed: int | None = None,
    progressing: str = "NewReplicaSetAvailable",
    message: str = "",
    paused: bool = False,
) -> dict[str, Any]:
    """A Deployment as its controller leaves it; complete unless something else is said."""
    updated = replicas if updated is None else updated
    ready = replicas if ready is None else ready
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": pilot,
            "namespace": "models",
            "generation": generation,
            "labels": labels(pilot, version),
        },
        "spec": {
            "replicas": replicas,
            "paused": paused,
            "template": {"metadata": {"labels": labels(pilot, version)}},
        },
        "status": {
            "observedGeneration": generation if observed is None else observed,
            "replicas": (total if total is not None else max(updated, ready)),
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [{"type": "Progressing", "reason": progressing, "message": message}],
        },
    }


def rollout(
    pilot: str,
    version: int,
    *,
    phase: str = "Healthy",
    stable: bool = True,
    weight: int | None = None,
    step: int | None = None,
    message: str = "",
    generation: int = 1,
    observed: str | None = None,
    **status: Any,
) -> dict[str, Any]:
    """A Rollout as Argo's controller leaves it."""
    told: dict[str, Any] = {
        "observedGeneration": str(generation) if observed is None else observed,
        "phase": phase,
        "message": message,
        "replicas": 2,
        "updatedReplicas": 2 if stable else 1,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "currentPodHash": "new",
        "stableRS": "new" if stable else "old",
        "currentStepIndex": step,
        "canary": {} if weight is None else {"weights": {"canary": {"weight": weight}}},
    }
    told["canary"] |= status.pop("canary", {})
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": pilot,
            "namespace": "models",
            "generation": generation,
            "labels": labels(pilot, version),
        },
        "spec": {"replicas": 2, "template": {"metadata": {"labels": labels(pilot, version)}}},
        "status": told | status,
    }


def _status(code: int, message: str) -> bytes:
    return json.dumps(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    ).encode()
