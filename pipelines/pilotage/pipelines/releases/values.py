"""The file that a release writes for `charts/model`: what it holds, and its one spelling.

The chart's `values.schema.json` is what counts; a test holds what is written here against it. The same
release is always the same bytes, so that git shows a change only where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version as installed
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from pilotage.core import durations, errors
from pilotage.core.specs import PilotSpec
from pilotage.core.specs.bases import Name

HEADER = (
    "# Written by `pilotage release`. Do not edit: the next release replaces it.\n"
    "# What you want otherwise goes into overrides.yaml beside it, which no release touches.\n"
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./ -]*[A-Za-z0-9]|[A-Za-z]")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))
_IMAGE = re.compile(
    r"(?P<repository>[a-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9._-]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class Version(_Part):
    """The model that is served."""

    version: Annotated[int, Field(ge=1)]
    digest: Digest
    """Of the model folder's content."""
    profile: Digest
    """Of its reference profile."""


class Image(_Part):
    """The server's image; the digest wins."""

    repository: Annotated[str, Field(min_length=1)]
    tag: Annotated[str, Field(min_length=1)] | None = None
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""


class Replicas(_Part):
    min: int
    max: int


class Resources(_Part):
    cpu: str
    memory: str


class Bounds(_Part):
    """How much worse than the champion; null stands for any."""

    errors: float | None
    latency: float | None
    score: float | None


class Rollout(_Part):
    """How the new version takes over."""

    strategy: str
    steps: tuple[int, ...]
    pause: str
    min_requests: int
    bounds: Bounds


class Evidence(_Part):
    """What speaks for the version."""

    run: str = ""
    snapshot: str = ""
    scorecard: str = ""
    approver: str = ""
    reason: str = ""


class Values(_Part):
    """The whole file."""

    pilot: Name
    model: Version
    spec: dict[str, Any]
    image: Image
    replicas: Replicas
    resources: Resources
    p99_ms: float
    rollout: Rollout
    evidence: Evidence

    def describes_the_same_as(self, other: Values) -> bool:
        """Whether both make the same run; who said so and why may differ."""
        said = {"approver": "", "reason": ""}
        mine, theirs = (item.evidence.model_copy(update=said) for item in (self, other))
        return self.model_copy(update={"evidence": mine}) == other.model_copy(update={"evidence": theirs})


def build(spec: PilotSpec, model: Version, image: Image, evidence: Evidence) -> Values:
    """The values of a version of a pilot."""
    serve, plan = spec.serve, spec.serve.rollout
    return Values(
        pilot=spec.pilot,
        model=model,
        spec=spec.model_dump(mode="json", exclude_unset=True),
        image=image,
        replicas=Replicas(min=serve.replicas.min, max=serve.replicas.max),
        resources=Resources(cpu=serve.cpu, memory=serve.memory),
        p99_ms=serve.p99_ms,
        rollout=Rollout(
            strategy=plan.strategy.value,
            steps=tuple(share for share in plan.shares if share),
            pause=durations.write(plan.pause),
            min_requests=plan.min_requests,
            bounds=Bounds(**plan.bounds.model_dump()),
        ),
        evidence=evidence,
    )


def image_of(text: str) -> Image:
    """What `REPOSITORY[:TAG][@DIGEST]` says; our own server image where it is empty.

    Raises:
        SettingsError: it is none.
    """
    if not text:
        return Image(repository="pilotage/serving", tag=installed("pilotage"))
    found = _IMAGE.fullmatch(text)
    if found is None or not (found["tag"] or found["digest"]):
        raise errors.SettingsError(
            f"PILOTAGE_RELEASE_IMAGE: `{text[:200]}` names no image with a tag or a digest.",
            remedy="Write REPOSITORY:TAG or REPOSITORY@sha256:…",
        )
    return Image(repository=found["repository"], tag=found["tag"], digest=found["digest"] or "")


def write(values: Values) -> bytes:
    """The file's bytes, always the same for the same values."""
    content = values.model_dump(mode="json", by_alias=True)
    if values.image.tag is None:
        del content["image"]["tag"]
    text = yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=10**6
    )
    return (HEADER + str(text)).encode()


def read(data: bytes, name: str) -> Values:
    """What the bytes of file `name` say.

    Raises:
        DataError: they are no values of this version of Pilotage.
    """
    try:
        return Values.model_validate(yaml.safe_load(data))
    except (yaml.YAMLError, ValidationError, ValueError, RecursionError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise errors.DataError(
            f"`{name}` does not say what a release writes: {' '.join(told.split())[:300]}.",
            remedy="Somebody edited it; release again, or revert that commit.",
        ) from error


def parsed(data: bytes | None) -> Values | None:
    """What the bytes say; None where there are none, or somebody edited them so that they are no values."""
    try:
        return None if data is None else read(data, "")
    except errors.DataError:
        return None


class _Dumper(yaml.SafeDumper):
    """Text in double quotes wherever some reader of YAML 1.1 or 1.2 could take it for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _mapping(dumper: yaml.SafeDumper, content: Mapping[str, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", content.items())


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
