"""What the steps of a pilot need on a cluster; none of it changes what a step does.

Keys are named as Kubernetes and kfp-kubernetes name them, in pilot.yaml's spelling.
A run on this machine reads none of it. Quantities and names are checked here as
Kubernetes would check them, so that a mistake shows on its line and not in a pod.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from pilotage.core.hints import unknown
from pilotage.core.specs.bases import Model

STEPS = ("ingest", "validate", "train", "evaluate", "register", "score")
"""Steps of the compiled pipelines, which `cluster.steps` may name."""

_LABEL = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_KEY = rf"^({_SUBDOMAIN}/)?{_LABEL}$"

_CPU = r"^([0-9]+(\.[0-9]+)?|[0-9]+m)$"

Cpu = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value),
    Field(pattern=_CPU),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _CPU}, {"type": "number", "minimum": 0}]}),
]
"""Cores as Kubernetes writes them: `2`, `0.5`, `500m`."""
Memory = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$")]
"""Bytes as Kubernetes writes them: `512Mi`, `8Gi`."""
ObjectName = Annotated[str, StringConstraints(pattern=rf"^{_SUBDOMAIN}$", max_length=253)]
"""Name of a Kubernetes object."""
LabelKey = Annotated[str, StringConstraints(pattern=_KEY, max_length=317)]
LabelValue = Annotated[str, StringConstraints(pattern=rf"^{_LABEL}?$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable."""
SecretKey = Annotated[str, StringConstraints(pattern=r"^[-._A-Za-z0-9]{1,253}$")]
MountPath = Annotated[str, StringConstraints(pattern=r"^/[^:]+$")]
"""Absolute path in the container."""

_RESERVED = ("/tmp", "/var/lib/pilotage", "/gcs", "/minio", "/s3", "/kfp-launcher")  # noqa: S108 - not used here
"""Where the image and Kubeflow keep things of their own."""
MOST_WORKERS = 256
SHARED_STEPS = ("train", "score")
"""Steps whose work several workers can share."""
NVIDIA = "nvidia.com/gpu"
_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Resources(Model):
    """What one step asks for, and what it may take; where there are several workers, each of them."""

    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 1
    """Processes that share the step's work, on one machine or on several; more than one run on Ray."""
    cpu: Cpu | None = None
    """Cores that it is promised."""
    memory: Memory | None = None
    """Memory that it is promised; also the most that it may take, unless `memory_limit` says more."""
    cpu_limit: Cpu | None = None
    """The most cores it may take; no limit when left out."""
    memory_limit: Memory | None = None
    """The most memory it may take before it is killed."""
    gpu: Annotated[int, Field(ge=0, le=64)] = 0
    """Accelerators."""
    gpu_type: LabelKey = NVIDIA
    """Kubernetes' name of the accelerator as a resource."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.cpu and self.cpu_limit and cores(self.cpu) > cores(self.cpu_limit):
            raise ValueError("`cpu` is above `cpu_limit`")
        if self.memory and self.memory_limit and size(self.memory) > size(self.memory_limit):
            raise ValueError("`memory` is above `memory_limit`")
        if self.gpu_type != NVIDIA and not self.gpu:
            raise ValueError("`gpu_type` goes with `gpu`, how many of them")
        return self


class Operator(StrEnum):
    EQUAL = "Equal"
    EXISTS = "Exists"


class Effect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint of nodes that a step may run beside."""

    key: LabelKey | None = None
    """Every taint when left out, which goes with `Exists`."""
    operator: Operator = Operator.EQUAL
    value: LabelValue | None = None
    effect: Effect | None = None
    """Every effect when left out."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """How long it may stay on a node that gets the taint; goes with `NoExecute`."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.operator is Operator.EXISTS and self.value is not None:
            raise ValueError("`value` does not go with `operator: Exists`")
        if self.operator is Operator.EQUAL and self.key is None:
            raise ValueError("`key` is missing; only `operator: Exists` goes without one")
        if self.toleration_seconds is not None and self.effect is not Effect.NO_EXECUTE:
            raise ValueError("`toleration_seconds` goes with `effect: NoExecute`")
        return self


class Secret(Model):
    """A Kubernetes secret of the steps' namespace, as environment variables or as files."""

    secret_name: ObjectName
    env: dict[SecretKey, Variable] = {}
    """Environment variable by key of the secret."""
    mount_path: MountPath | None = None
    """Folder in which each key becomes a file."""
    optional: bool = False
    """Whether steps start where the secret is missing."""

    @model_validator(mode="after")
    def _used(self) -> Self:
        if not self.env and self.mount_path is None:
            raise ValueError("a secret needs `env` ({KEY: VARIABLE}), `mount_path`, or both")
        reserved = sorted(name for name in self.env.values() if name.startswith(("PILOTAGE_", "KFP_")))
        if reserved:
            raise ValueError(f"`{reserved[0]}` is set by the installation; take another variable")
        return self


class Volume(Model):
    """A persistent volume claim of the steps' namespace, mounted as a folder."""

    pvc_name: ObjectName
    mount_path: MountPath
    sub_path: Annotated[str, StringConstraints(pattern=r"^[^/].*$")] | None = None
    """Folder within the volume; its root when left out."""

    @field_validator("sub_path")
    @classmethod
    def _inside(cls, path: str | None) -> str | None:
        if path is not None and ".." in path.split("/"):
            raise ValueError("`sub_path` leads out of the volume")
        return path


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Step(Model):
    """What one step needs besides what all need."""

    resources: Resources | None = None
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()


class Cluster(Model):
    """What the steps need; `steps` adds to it by step."""

    image: Annotated[str, StringConstraints(pattern=r"^[^\s]+$", min_length=1)] | None = None
    """In place of the installation's image of components; it has to hold Pilotage, too."""
    image_pull_policy: PullPolicy | None = None
    image_pull_secrets: tuple[ObjectName, ...] = ()
    service_account: ObjectName | None = None
    """Of the steps' pods; the installation's when left out."""
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    secrets: tuple[Secret, ...] = ()
    volumes: tuple[Volume, ...] = ()
    steps: dict[str, Step] = {}
    """By the name of a step."""

    @field_validator("steps")
    @classmethod
    def _known(cls, steps: dict[str, Step]) -> dict[str, Step]:
        for name in steps:
            if name not in STEPS:
                raise ValueError(unknown("step", name, list(STEPS)))
        return steps

    @model_validator(mode="after")
    def _apart(self) -> Self:
        taken = set(_RESERVED)
        paths = [secret.mount_path for secret in self.secrets] + [
            volume.mount_path for volume in self.volumes
        ]
        for path in (path.rstrip("/") for path in paths if path):
            hidden = next((other for other in sorted(taken) if f"{other}/".startswith(f"{path}/")), None)
            if hidden is not None:
                raise ValueError(f"`mount_path: {path}` would hide `{hidden}`")
            taken.add(path)
        return self


def cores(quantity: str) -> float:
    """Cores that a quantity of CPU stands for."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def size(quantity: str) -> float:
    """Bytes that a quantity of memory stands for."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]
