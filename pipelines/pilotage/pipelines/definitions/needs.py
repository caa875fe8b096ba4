"""What steps need on a cluster, put into a pipeline in the words of kfp and kfp-kubernetes.

A pilot says what its steps need (`cluster`, `train.resources`), the installation
where they find MLflow and the storage. Runners that have no pods read nothing of it.

Kubeflow's own cache is turned off for every step: it goes by names and not by
contents, and would hand out yesterday's snapshot of a source that has changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kfp import kubernetes

from pilotage.core.costs import prices
from pilotage.core.settings import KUBERAY, Settings
from pilotage.core.specs import PilotSpec, Resources, Step, Toleration, clusters
from pilotage.pipelines.machines import environments

USER = 10001
"""Of the image's processes, and their group."""
HOME = "/var/lib/pilotage"
"""PILOTAGE_HOME in the image."""
_BACKOFF_FACTOR = 2.0
_FOLLOWING = Resources(cpu="100m", memory="512Mi")
"""Of the pod that follows a RayJob."""
_MEBI = 1 << 20
_FOR_STEPS = (
    "MLFLOW_TRACKING_URI",
    "PILOTAGE_STORAGE_URL",
    "PILOTAGE_TRUSTED_TYPES",
    "PILOTAGE_ALLOW_PICKLE",
    "PILOTAGE_REFERENCE_SAMPLE",
    "PILOTAGE_RAY_ADDRESS",
    "PILOTAGE_RAY_RESTARTS",
    "PILOTAGE_RAY_PATIENCE_SECONDS",
    "PILOTAGE_RELEASE_TO",  # for `register`, which decides by it and touches nothing there
    "PILOTAGE_RELEASE_ENVIRONMENT",  # likewise, and the next
    "PILOTAGE_READINESS",
    "PILOTAGE_COUNTRY",
    "PILOTAGE_ENCODER",
    "PILOTAGE_ALLOW_HUB",
    "MLFLOW_DISABLE_TELEMETRY",
    "GX_ANALYTICS_ENABLED",
    "OMP_WAIT_POLICY",
)
"""Settings that a step reads; paths of this machine and the database's are none of them."""


@dataclass(frozen=True)
class Installation:
    """What all steps of an installation get."""

    image: str
    variables: Mapping[str, str] = field(default_factory=dict)
    secret: str = ""
    secret_keys: tuple[str, ...] = ()
    retries: int = 0
    backoff_seconds: float = 0.0
    timeout_seconds: int = 0
    ray_address: str = ""
    ray_service_account: str = ""


def of(settings: Settings) -> Installation:
    """The installation of `settings`; prices are told themselves, for pods do not have the file.

    Raises:
        SettingsError: the table of prices is wrong.
    """
    known, table = environments.variables(settings), prices.load(settings)
    paid = {} if table is None else {"PILOTAGE_PRICES": table.model_dump_json(exclude_unset=True)}
    return Installation(
        image=settings.components_image,
        variables={name: known[name] for name in _FOR_STEPS if name in known} | paid,
        secret=settings.components_secret,
        secret_keys=settings.components_secret_keys,
        retries=settings.step_retries,
        backoff_seconds=settings.step_backoff_seconds,
        timeout_seconds=int(settings.step_timeout_seconds),
        ray_address=settings.ray_address,
        ray_service_account=settings.ray_service_account,
    )


def put(task: Any, step: str, spec: PilotSpec | None, installation: Installation | None) -> None:
    """Put into `task`, a task of kfp's, what `step` needs."""
    task.set_caching_options(False)
    if installation is not None:
        _put_installation(task, installation)
    if spec is not None:
        _put_cluster(task, step, spec, "" if installation is None else installation.ray_address)


def on_kuberay(spec: PilotSpec | None, installation: Installation | None) -> bool:
    """Whether training is carried out by pods that KubeRay makes."""
    if spec is None or installation is None:
        return False
    return spec.train.resources.workers > 1 and installation.ray_address == KUBERAY


def _put_installation(task: Any, installation: Installation) -> None:
    # kfp's own setters read the source of every caller on the stack, for a second a task
    task.container_spec.image = installation.image
    task.container_spec.env = {
        **(task.container_spec.env or {}),
        **dict(sorted(installation.variables.items())),
    }
    if installation.retries:
        backoff = f"{max(1, round(installation.backoff_seconds))}s"
        task.set_retry(installation.retries, backoff_duration=backoff, backoff_factor=_BACKOFF_FACTOR)
    if installation.secret and installation.secret_keys:
        keys = {name: name for name in installation.secret_keys}
        kubernetes.use_secret_as_env(task, installation.secret, keys, optional=True)
    if installation.timeout_seconds:
        kubernetes.set_timeout(task, installation.timeout_seconds)
    kubernetes.empty_dir_mount(task, "pilotage-home", HOME)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)


def _put_cluster(task: Any, step: str, spec: PilotSpec, ray_address: str) -> None:
    cluster, own = spec.cluster, spec.cluster.steps.get(step, Step())
    resources = spec.train.resources if step == "train" else own.resources
    if resources is not None:
        _put_resources(task, _of_pod(step, resources, ray_address))
    if cluster.image:
        task.container_spec.image = cluster.image
    if cluster.image_pull_policy:
        kubernetes.set_image_pull_policy(task, cluster.image_pull_policy.value)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.image_pull_secrets))
    for key, value in sorted({**cluster.node_selector, **own.node_selector}.items()):
        kubernetes.add_node_selector(task, key, value)
    for toleration in (*cluster.tolerations, *own.tolerations):
        _put_toleration(task, toleration)
    for secret in cluster.secrets:
        if secret.env:
            kubernetes.use_secret_as_env(task, secret.secret_name, dict(secret.env), secret.optional)
        if secret.mount_path:
            kubernetes.use_secret_as_volume(task, secret.secret_name, secret.mount_path, secret.optional)
    for volume in cluster.volumes:
        kubernetes.mount_pvc(task, volume.pvc_name, volume.mount_path, volume.sub_path or "")


def _of_pod(step: str, resources: Resources, ray_address: str) -> Resources:
    """What the step's own pod takes: all workers, unless a Ray cluster has them."""
    if resources.workers == 1:
        return resources
    if ray_address == KUBERAY and step == "train":
        return _FOLLOWING
    if ray_address not in ("", KUBERAY):
        return resources.model_copy(update={"gpu": 0})
    count = resources.workers
    update: dict[str, Any] = {"gpu": resources.gpu * count}
    for name in ("cpu", "cpu_limit"):
        if stated := getattr(resources, name):
            update[name] = f"{clusters.cores(stated) * count:g}"
    for name in ("memory", "memory_limit"):
        if stated := getattr(resources, name):
            update[name] = f"{math.ceil(clusters.size(stated) * count / _MEBI)}Mi"
    return resources.model_copy(update=update)


def _put_resources(task: Any, resources: Resources) -> None:
    limit = resources.memory_limit or resources.memory
    if resources.cpu:
        task.set_cpu_request(resources.cpu)
    if resources.cpu_limit:
        task.set_cpu_limit(resources.cpu_limit)
    if resources.memory:
        task.set_memory_request(resources.memory)
    if limit:
        task.set_memory_limit(limit)
    if resources.gpu:
        task.set_accelerator_type(resources.gpu_type)
        task.set_accelerator_limit(resources.gpu)


def _put_toleration(task: Any, toleration: Toleration) -> None:
    kubernetes.add_toleration(
        task,
        key=toleration.key,
        operator=toleration.operator.value,
        value=toleration.value,
        effect=toleration.effect.value if toleration.effect else None,
        toleration_seconds=toleration.toleration_seconds,
    )
