"""The RayJob that trains a pilot with several workers on Kubernetes, as KubeRay takes it (ray.io/v1).

A head pod holds the step itself, the other pods are its workers, each with what `train.resources` says. All
run the image of the step as the step does: another user than root, no way to more rights, no token. It is
part of the compiled pipeline, so that it can be read before anything runs; `clusters.rays` creates it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pilotage.core.specs import PilotSpec, Resources, Step, Toleration, clusters
from pilotage.pipelines.definitions.needs import HOME, USER, Installation

RAY_VERSION = "2.60.0"
"""That the image of components holds."""
ENTRYPOINT = "python -m pilotage.components.distributed"
PILOT_LABEL = "pilotage.dev/pilot"
_LONGEST_SECONDS = 24 * 3600
_KEPT_SECONDS = 300
"""How long a job that has ended is kept when whoever made it is gone."""
_SCRATCH = "/tmp"  # noqa: S108 - of a pod
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - of a pod
_SHARED_MEMORY_SHARE = 0.3
"""Of a pod's memory, for Ray's objects: Ray's own share of a machine."""
_LEAST_BYTES = 2 << 30


def manifest(spec: PilotSpec, installation: Installation) -> dict[str, Any]:
    """The RayJob without a name of its own and without the argument of its entry point."""
    resources = spec.train.resources
    deadline = installation.timeout_seconds or _LONGEST_SECONDS
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"labels": _labels(spec)},
        "spec": {
            "entrypoint": ENTRYPOINT,
            "submissionMode": "HTTPMode",
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "activeDeadlineSeconds": deadline,
            "backoffLimit": 0,
            "rayClusterSpec": {
                "rayVersion": RAY_VERSION,
                "authOptions": {"mode": "token"},
                "enableInTreeAutoscaling": False,
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0", "num-gpus": "0", "disable-usage-stats": "true"},
                    "template": _pod(spec, installation, "head", resources.model_copy(update={"gpu": 0})),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": resources.workers,
                        "minReplicas": resources.workers,
                        "maxReplicas": resources.workers,
                        "rayStartParams": _offered(resources),
                        "template": _pod(spec, installation, "worker", resources),
                    }
                ],
            },
        },
    }


def _offered(resources: Resources) -> dict[str, str]:
    """What a worker's pod offers Ray: what the worker asks it for, not the share that Ray would think of."""
    cores = clusters.cores(resources.cpu) if resources.cpu else 1.0
    offered = {"num-cpus": str(math.ceil(cores)), "num-gpus": str(resources.gpu)}
    if resources.memory:
        offered["memory"] = str(math.floor(clusters.size(resources.memory)))
    return offered


def _labels(spec: PilotSpec) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "pilotage",
        "app.kubernetes.io/component": "ray",
        PILOT_LABEL: spec.pilot,
    }


def _pod(spec: PilotSpec, installation: Installation, kind: str, resources: Resources) -> dict[str, Any]:
    cluster, own = spec.cluster, spec.cluster.steps.get("train", Step())
    volumes, mounts = _volumes(spec, resources)
    content: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": f"ray-{kind}",
                "image": cluster.image or installation.image,
                **({"imagePullPolicy": cluster.image_pull_policy.value} if cluster.image_pull_policy else {}),
                "env": _variables(spec, installation),
                "resources": _resources(resources),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if installation.ray_service_account:
        content["serviceAccountName"] = installation.ray_service_account
    if cluster.image_pull_secrets:
        content["imagePullSecrets"] = [{"name": name} for name in cluster.image_pull_secrets]
    selector = {**cluster.node_selector, **own.node_selector}
    if selector:
        content["nodeSelector"] = dict(sorted(selector.items()))
    tolerations = [_toleration(item) for item in (*cluster.tolerations, *own.tolerations)]
    if tolerations:
        content["tolerations"] = tolerations
    return {"metadata": {"labels": _labels(spec)}, "spec": content}


def _variables(spec: PilotSpec, installation: Installation) -> list[dict[str, Any]]:
    """Settings, and secrets as references; workers join the cluster that the head is."""
    plain: Mapping[str, str] = {
        **installation.variables,
        "PILOTAGE_RAY_ADDRESS": "auto",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": f"{_SCRATCH}/ray",
        "HOME": _SCRATCH,
    }
    found: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in sorted(plain.items())]
    for name in installation.secret_keys if installation.secret else ():
        found.append({"name": name, "valueFrom": _secret(installation.secret, name, optional=True)})
    for secret in spec.cluster.secrets:
        for key, variable in secret.env.items():
            reference = _secret(secret.secret_name, key, optional=secret.optional)
            found.append({"name": variable, "valueFrom": reference})
    return found


def _secret(name: str, key: str, *, optional: bool) -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": key, "optional": optional}}


def _resources(resources: Resources) -> dict[str, Any]:
    asked = {"cpu": resources.cpu or "1"}
    limits: dict[str, str] = {}
    if resources.cpu_limit:
        limits["cpu"] = resources.cpu_limit
    if resources.memory:
        asked["memory"] = resources.memory
        limits["memory"] = resources.memory_limit or resources.memory
    if resources.gpu:
        limits[resources.gpu_type] = asked[resources.gpu_type] = str(resources.gpu)
    return {"requests": asked, **({"limits": limits} if limits else {})}


def _volumes(spec: PilotSpec, resources: Resources) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Room to write in, Ray's shared memory, and the pilot's own secrets and claims."""
    memory = clusters.size(resources.memory) if resources.memory else _LEAST_BYTES
    shared = f"{max(128, int(memory * _SHARED_MEMORY_SHARE) >> 20)}Mi"
    volumes: list[dict[str, Any]] = [
        {"name": "home", "emptyDir": {}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": shared}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "home", "mountPath": HOME},
        {"name": "scratch", "mountPath": _SCRATCH},
        {"name": "shared-memory", "mountPath": _SHARED_MEMORY},
    ]
    for number, secret in enumerate(item for item in spec.cluster.secrets if item.mount_path):
        reference = {"secretName": secret.secret_name, "optional": secret.optional}
        volumes.append({"name": f"secret-{number}", "secret": reference})
        mounts.append({"name": f"secret-{number}", "mountPath": secret.mount_path, "readOnly": True})
    for number, volume in enumerate(spec.cluster.volumes):
        volumes.append({"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": volume.pvc_name}})
        below = {"subPath": volume.sub_path} if volume.sub_path else {}
        mounts.append({"name": f"claim-{number}", "mountPath": volume.mount_path, **below})
    return volumes, mounts


def _toleration(toleration: Toleration) -> dict[str, Any]:
    given = {
        "key": toleration.key,
        "operator": toleration.operator.value,
        "value": toleration.value,
        "effect": toleration.effect.value if toleration.effect else None,
        "tolerationSeconds": toleration.toleration_seconds,
    }
    return {name: value for name, value in given.items() if value is not None}
