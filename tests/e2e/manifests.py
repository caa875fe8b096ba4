"""What the tests install: both charts rendered, their namespaces and Secrets, a program that asks a model.

Requests of everything together fit two cores and four gigabytes. Nothing is asked of
a cluster here, so all of it is checked without one.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.charts import rendering
from tests.e2e.environments import Environment

Document = dict[str, Any]
PILOT = "parcels"
LOAD = Path(__file__).with_name("loads.py")
LOAD_LABELS = {"app.kubernetes.io/name": "pilotage-e2e", "app.kubernetes.io/component": "load"}
SPEC: dict[str, Any] = {
    "version": 1,
    "pilot": PILOT,
    "data": {"source": "parcels.csv", "target": "late", "key": "id"},
    "goal": {"metric": "roc_auc"},
    "train": {"estimator": "logistic_regression"},
    "monitor": {"window": "30s"},
    "retrain": {"on": []},
}
ROW = {"distance": 700.5, "carrier": "AA"}
_LIST = {("deployments.apps", "list"), ("rollouts.argoproj.io", "list"), ("pods", "list")}
WATCHER = _LIST | {("inferenceservices.serving.kserve.io", "list")}
"""All that the console's account may do where models run, once releases are watched."""
ACCOUNTS = ("pilotage-console", "pilotage-jobs", "pilotage-mlflow", "pilotage-postgresql")
DENIED = (
    *(("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("delete", "pods"), ("get", "pods")),
    *(("create", "pods/exec"), ("patch", "deployments.apps"), ("update", "deployments.apps/scale")),
    *(("create", "rolebindings.rbac.authorization.k8s.io"), ("list", "nodes"), ("impersonate", "users")),
    *(("create", "serviceaccounts/token"), ("watch", "configmaps"), ("patch", "rollouts.argoproj.io")),
)
"""Samples of verb and resource that no account may."""


@dataclass(frozen=True)
class Places:
    """The namespaces of one run."""

    platform: str
    models: str

    @classmethod
    def of(cls, environment: Environment) -> Places:
        return cls(f"{environment.prefix}-platform", f"{environment.prefix}-models")


def namespace(name: str) -> Document:
    """A namespace that takes no pod which asks for more than `restricted` lets it."""
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    labels = {**modes, "pilotage.dev/e2e": "true"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def secret(name: str, where: str, values: Mapping[str, str]) -> Document:
    """A Secret with text values."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": where},
        "stringData": dict(values),
    }


def pull_secret(environment: Environment, where: str) -> list[Document]:
    """The Secret that images are pulled with, under one name in each namespace; nothing without one."""
    if environment.pull_secret is None:
        return []
    found: Document = yaml.safe_load(environment.pull_secret.read_text(encoding="utf-8"))
    return [{**found, "metadata": {"name": "pilotage-e2e-pull", "namespace": where}}]


def platform_values(environment: Environment, places: Places, **changes: Any) -> dict[str, Any]:
    """Values of charts/pilotage: small, with its own PostgreSQL; `changes` are what an upgrade changes."""
    small = {"cpu": "100m", "memory": "384Mi", "limits": {"cpu": "2", "memory": "1536Mi"}}
    claim = {"storageClass": environment.storage_class, "size": "1Gi"}
    values: dict[str, Any] = {
        "image": environment.image("console"),
        "imagePullSecrets": _pull_names(environment),
        "console": {"url": "https://pilotage.example.org", "replicas": 2, "resources": small},
        "pilots": {PILOT: {"spec": SPEC, "files": {"parcels.csv": table()}}},
        "postgresql": {
            "enabled": True,
            "image": {**environment.postgres.values, "pullPolicy": environment.pull_policy},
            "passwords": {"name": "pilotage-passwords"},
            "storage": claim,
            "resources": {"cpu": "100m", "memory": "256Mi", "limits": {"cpu": "1", "memory": "512Mi"}},
        },
        "mlflow": {
            "artifacts": claim,
            "resources": {"cpu": "100m", "memory": "640Mi", "limits": {"cpu": "2", "memory": "1536Mi"}},
        },
        "networkPolicy": {
            "programs": [
                {"namespace": places.models, "podLabels": {"app.kubernetes.io/component": "monitor"}}
            ],
            "mlflowClients": [{"namespace": places.models}],
        },
    }
    return {**values, **changes}


def model_values(
    environment: Environment, places: Places, version: int, node: str = "", **changes: Any
) -> dict[str, Any]:
    """Values of charts/model for one version of the pilot, on one node: its windows are on a disk of one."""
    console = f"http://pilotage-console.{places.platform}.svc:8000"
    values: dict[str, Any] = {
        "pilot": PILOT,
        "model": {"version": version},
        "spec": SPEC,
        "image": environment.image("serving"),
        "imagePullSecrets": _pull_names(environment),
        "replicas": {"min": 2, "max": 2},
        "autoscaling": {"kind": "none"},
        "resources": {"cpu": "100m", "memory": "320Mi", "limits": {"cpu": "1", "memory": "640Mi"}},
        "tracking": {"uri": f"http://pilotage-mlflow.{places.platform}.svc:5000"},
        "storage": {
            "volume": {
                "enabled": True,
                "storageClass": environment.storage_class,
                "accessMode": "ReadWriteOnce",
                "size": "1Gi",
            }
        },
        "nodeSelector": {"kubernetes.io/hostname": node} if node else {},
        "networkPolicy": {
            "clients": [{"podLabels": LOAD_LABELS}],
            "tracking": [_pods(places.platform, "mlflow", 5000)],
            "console": [_pods(places.platform, "console", 8000)],
        },
        "monitor": {
            "enabled": True,
            "schedule": "0 0 1 1 *",
            "consoleUrl": console,
            "image": environment.image("console"),
            "resources": {"cpu": "100m", "memory": "384Mi", "limits": {"cpu": "1", "memory": "1Gi"}},
        },
        "test": {"enabled": False},
    }
    return {**values, **changes}


def render(chart: str, values: Mapping[str, Any], where: str) -> list[Document]:
    """The objects of a chart, each with its namespace; without tests, which Helm alone runs.

    Jobs and other hooks of an installation are kept: `kubectl apply` makes them with all else.
    """
    name = PILOT if chart == "model" else "pilotage"
    found = []
    for document in rendering.render(chart, values, name=name, namespace=where):
        if document["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "test":
            continue
        found.append(_placed(document, where))
    return found


def load(environment: Environment, places: Places, seconds: int, workers: int = 4) -> list[Document]:
    """A Job that asks the model from within the cluster for so long and prints what became of it."""
    name = "load"
    meta = {"name": name, "namespace": places.models, "labels": LOAD_LABELS}
    address = f"http://{PILOT}.{places.models}.svc:80/predict"
    container = {
        "name": "load",
        "image": environment.reference("serving"),
        "imagePullPolicy": environment.pull_policy,
        "command": ["python3", "-I", "/etc/load/loads.py", address, str(seconds), str(workers)],
        "env": [{"name": "BODY", "value": json.dumps({"rows": [ROW]})}],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "1", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "program", "mountPath": "/etc/load", "readOnly": True}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "imagePullSecrets": [{"name": name} for name in _pull_names(environment)],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": name}}],
    }
    program = LOAD.read_text(encoding="utf-8")
    job = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": seconds + 300,
        "template": {"metadata": {"labels": LOAD_LABELS}, "spec": pod},
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"loads.py": program}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job},
    ]


def table() -> str:
    """Rows of the pilot, as CSV."""
    chance, text = random.Random(11), io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "distance", "carrier", "late"])
    for number in range(600):
        late = chance.random() < 0.4
        distance = round(chance.gauss(900 if late else 400, 200), 1)
        writer.writerow([number, distance, chance.choice(["AA", "UA"]), int(late)])
    return text.getvalue()


def _pods(where: str, component: str, port: int) -> dict[str, Any]:
    return {
        "namespace": where,
        "podLabels": {"app.kubernetes.io/component": component},
        "ports": [port],
    }


def _pull_names(environment: Environment) -> list[str]:
    return [] if environment.pull_secret is None else ["pilotage-e2e-pull"]


def _placed(document: Document, where: str) -> Document:
    meta = document["metadata"]
    return {**document, "metadata": {**meta, "namespace": meta.get("namespace", where)}}
