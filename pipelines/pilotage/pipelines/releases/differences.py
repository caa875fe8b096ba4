"""What git says against what runs: as a model server says, or the cluster, or else the registry.

A server behind a balancer is asked several times, each on a connection of its own, so that a rollout that
goes on shows as two versions. Nothing is changed here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import urllib3

from pilotage.core import errors
from pilotage.core.registry import Alias, Registry
from pilotage.core.settings import ClusterAccess, Settings, is_loopback
from pilotage.pipelines.clusters.workloads import Phase
from pilotage.pipelines.releases import credentials, openings, places, readings
from pilotage.pipelines.releases.readings import Released

QUESTIONS = 6
_MOST_BYTES = 5_000_000


class Source(StrEnum):
    """Who said what runs."""

    SERVER = "server"
    CLUSTER = "cluster"
    """The workload's own object, where the settings name a cluster."""
    REGISTRY = "registry"
    """The champion: what runs where models are swapped in place."""


@dataclass(frozen=True)
class Running:
    """What runs."""

    versions: tuple[int, ...]
    """Sorted; several while a rollout goes on, none where nothing does."""
    source: Source
    where: str
    """The server's URL, the cluster's namespace and the rollout's phase, or `champion`."""
    is_settled: bool = True
    """False while the cluster has not carried out what it was told."""


@dataclass(frozen=True)
class Difference:
    """What git says, and what runs."""

    pilot: str
    environment: str
    released: Released | None
    running: Running

    @property
    def is_none(self) -> bool:
        """Whether exactly that runs which git says."""
        said = () if self.released is None else (self.released.version,)
        return self.running.is_settled and self.running.versions == said


def diff(settings: Settings, pilot: str, environment: str = "", *, server: str = "") -> Difference:
    """Compare what git says of `pilot` in `environment` with what runs there.

    Args:
        settings: say where to look.
        pilot: its name.
        environment: the settings' when empty.
        server: URL of the model server; the settings' when empty. Where neither names one, the cluster of the
            settings is asked about the environment that they release to, and else the registry's champion.

    Raises:
        SettingsError: an address, a name or a token is wrong.
        Unavailable: repository or server does not answer.
    """
    environment = places.require_name("an environment", environment or settings.release_environment)
    openings.place_of(settings)
    said = readings.read(settings, pilot, environment)
    return Difference(pilot, environment, said, _running(settings, pilot, environment, server))


def _running(settings: Settings, pilot: str, environment: str, server: str) -> Running:
    """What a server says; else the cluster, if this is the environment that is watched; else the registry."""
    named = (server or settings.release_server).strip()
    if named:
        root = named.replace("{pilot}", pilot).replace("{environment}", environment).rstrip("/")
        return Running(_served(settings, root, pilot), Source.SERVER, root)
    if settings.cluster is not ClusterAccess.NONE and environment == settings.release_environment:
        return _in_cluster(settings, pilot)
    champion = Registry(settings).aliases(pilot).get(Alias.CHAMPION)
    return Running(() if champion is None else (champion,), Source.REGISTRY, "champion")


def _in_cluster(settings: Settings, pilot: str) -> Running:
    """What the workload's object says."""
    # Kubernetes' client takes half a second to import, and releasing needs none
    from pilotage.pipelines.clusters import connections
    from pilotage.pipelines.clusters import readings as workloads_there

    cluster = connections.connect(settings)
    found = None if cluster is None else workloads_there.read(cluster, pilot)
    where = "" if cluster is None else cluster.namespace
    if found is None or found.version is None:
        return Running((), Source.CLUSTER, where)
    if found.phase is Phase.HEALTHY:
        return Running((found.version,), Source.CLUSTER, where)
    return Running((found.version,), Source.CLUSTER, f"{where} ({found.phase.value})", is_settled=False)


def _served(settings: Settings, root: str, pilot: str) -> tuple[int, ...]:
    """Versions that the servers behind `root` answer with by default."""
    url = f"{root}/v2/models/{quote(pilot, safe='')}"
    headers = {"Connection": "close", "User-Agent": "pilotage", **_authorization(settings, root)}
    pool = credentials.pool(settings, url)
    found = {_version(pool, url, headers) for _ in range(QUESTIONS)}
    return tuple(sorted(version for version in found if version is not None))


def _authorization(settings: Settings, root: str) -> dict[str, str]:
    parts = urllib3.util.parse_url(root)
    if parts.scheme not in ("http", "https") or not parts.host or parts.auth:
        raise errors.SettingsError(
            f"`{parts._replace(auth=None)}` is no address of a model server.",
            remedy="Write http://HOST:PORT or https://HOST, without a user.",
        )
    file = settings.release_server_token_file
    if file is None:
        return {}
    if parts.scheme == "http" and not is_loopback(parts.host):
        raise errors.SettingsError(
            f"A token would go to `{root}` in the clear.", remedy="Use https://, or unset its token's file."
        )
    return {"Authorization": f"Bearer {credentials.read_token('PILOTAGE_RELEASE_SERVER_TOKEN_FILE', file)}"}


def _version(pool: urllib3.PoolManager, url: str, headers: dict[str, str]) -> int | None:
    """What one answer says; None where the pilot is not served."""
    try:
        answer = pool.request("GET", url, headers=headers, redirect=False, preload_content=False)
        data = answer.read(_MOST_BYTES)
        answer.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise errors.Unavailable(
            f"The model server at `{url}` does not answer: {type(error).__name__}.",
            remedy="Start it, or name another with `--server`.",
        ) from error
    if answer.status == 404:
        return None
    if answer.status in (401, 403):
        raise errors.SettingsError(
            f"The model server at `{url}` does not let us ask ({answer.status}).",
            remedy="Set PILOTAGE_RELEASE_SERVER_TOKEN_FILE to a file with a token of it.",
        )
    try:
        versions: Any = json.loads(data)["versions"] if answer.status == 200 else ()
        return int(versions[0])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise errors.Unavailable(
            f"The model server at `{url}` does not say which version it serves (status {answer.status}).",
            remedy="See that it is a model server of Pilotage, and ready.",
        ) from error
