"""What the tests on a cluster are told by environment variables, PILOTAGE_E2E_…; each has a default.

    IMAGE_REGISTRY   registry that Pilotage's images come from; none: as loaded into the nodes
    IMAGE_TAG        their tag (0.1.0)
    PULL_POLICY      IfNotPresent; Never for images that were loaded
    PULL_SECRET      a file with a Secret of type kubernetes.io/dockerconfigjson, put into both namespaces
    POSTGRES_IMAGE   image of the platform's PostgreSQL (postgres:17)
    STORAGE_CLASS    class of the claims; none: the cluster's default
    PREFIX           what the names of the namespaces begin with (pilotage-e2e)
    PATIENCE         seconds that one thing may take to become ready (600)
    KEEP             1: leave everything in place at the end, to look at it

Nothing is asked of a cluster here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = "PILOTAGE_E2E_"
KNOWN = (
    *("IMAGE_REGISTRY", "IMAGE_TAG", "PULL_POLICY", "PULL_SECRET", "POSTGRES_IMAGE"),
    *("STORAGE_CLASS", "PREFIX", "PATIENCE", "KEEP"),
)


class WrongVariable(ValueError):
    """A variable that says nothing that can be used."""


@dataclass(frozen=True)
class Image:
    """An image as charts take it."""

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Image:
        """`[REGISTRY/]REPOSITORY[:TAG|@DIGEST]`; a registry has a dot or a colon, or is `localhost`."""
        name, _, digest = text.partition("@")
        place, _, rest = name.rpartition("/")
        rest, _, tag = rest.partition(":")
        first, slash, more = place.partition("/")
        has_registry = bool(place) and ("." in first or ":" in first or first == "localhost")
        registry, folder = (first, more) if has_registry else ("", f"{first}{slash}{more}")
        repository = "/".join(filter(None, (folder, rest)))
        if not repository or not (tag or digest):
            raise WrongVariable(f"`{text}` is no image with a tag or a digest, such as postgres:17")
        return cls(registry, repository, tag or "0", digest)

    @property
    def values(self) -> dict[str, str]:
        """As charts take it."""
        return {
            "registry": self.registry,
            "repository": self.repository,
            "tag": self.tag,
            "digest": self.digest,
        }


@dataclass(frozen=True)
class Environment:
    """Everything that a run may be told."""

    registry: str = ""
    tag: str = "0.1.0"
    pull_policy: str = "IfNotPresent"
    pull_secret: Path | None = None
    postgres: Image = Image("", "postgres", "17")
    storage_class: str = ""
    prefix: str = "pilotage-e2e"
    patience_seconds: int = 600
    keep: bool = False

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """What `variables` say.

        Raises:
            WrongVariable: one is unknown, or has a value that it cannot have.
        """
        told = {key.removeprefix(PREFIX): value for key, value in variables.items() if key.startswith(PREFIX)}
        unknown = sorted(set(told) - set(KNOWN))
        if unknown:
            raise WrongVariable(f"{PREFIX}{unknown[0]} is unknown; there are {', '.join(KNOWN)}")
        prefix = told.get("PREFIX", cls.prefix)
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", prefix):
            raise WrongVariable(f"{PREFIX}PREFIX is `{prefix}`, which no namespace can begin with")
        patience = told.get("PATIENCE", str(cls.patience_seconds))
        if not patience.isdecimal() or not 30 <= int(patience) <= 7200:
            raise WrongVariable(f"{PREFIX}PATIENCE is `{patience}`; say 30 to 7200 seconds")
        policy = told.get("PULL_POLICY", cls.pull_policy)
        if policy not in ("Always", "IfNotPresent", "Never"):
            raise WrongVariable(f"{PREFIX}PULL_POLICY is `{policy}`; say Always, IfNotPresent or Never")
        return cls(
            registry=told.get("IMAGE_REGISTRY", ""),
            tag=told.get("IMAGE_TAG", cls.tag),
            pull_policy=policy,
            pull_secret=_file(told.get("PULL_SECRET", "")),
            postgres=Image.parse(told.get("POSTGRES_IMAGE", "postgres:17")),
            storage_class=told.get("STORAGE_CLASS", ""),
            prefix=prefix,
            patience_seconds=int(patience),
            keep=told.get("KEEP", "") not in ("", "0", "false"),
        )

    def image(self, name: str) -> dict[str, str]:
        """One of Pilotage's images as charts take it."""
        found = Image(self.registry, f"pilotage/{name}", self.tag).values
        return {**found, "pullPolicy": self.pull_policy}

    def reference(self, name: str) -> str:
        """The same as pods take it."""
        return "/".join(filter(None, (self.registry, f"pilotage/{name}:{self.tag}")))


def _file(text: str) -> Path | None:
    if not text:
        return None
    if not Path(text).is_file():
        raise WrongVariable(f"{PREFIX}PULL_SECRET is `{text}`, which is no file")
    return Path(text)
