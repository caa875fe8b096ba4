"""The way to the API server: from inside a pod or by a kubeconfig, with bounded waits and clear errors.

Only lists are asked for, so that `list` is the one verb that is needed. There
are no watches: a rollout takes minutes, and a list every few seconds can neither
end unseen nor come too late. What objects mean is in `workloads`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader

from pilotage.core import errors
from pilotage.core.settings import ClusterAccess, Settings

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, its namespace and the cluster's authority."""
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 15.0
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


@dataclass(frozen=True)
class Resource:
    """A kind of objects as the API server's paths name it."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str

    @property
    def prefix(self) -> str:
        """The path up to the namespace."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


DEPLOYMENTS = Resource("apps", "v1", "deployments")
ROLLOUTS = Resource("argoproj.io", "v1alpha1", "rollouts")
INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices")
PODS = Resource("", "v1", "pods")


class Cluster:
    """One namespace of one cluster, to be read."""

    def __init__(self, build: Callable[[], Any], namespace: str) -> None:
        """Nothing is asked yet; `build` gives a client of the API, with the credentials of now."""
        self.namespace = namespace
        self._build = build
        self._client: Any = None

    def items(self, resource: Resource, selector: str) -> list[dict[str, Any]]:
        """Objects with the labels of `selector`; none where the cluster does not know the kind.

        Raises:
            Unavailable: the API server does not answer, or does not know who asks any more.
            Forbidden: the account may not list these.
        """
        try:
            return self._ask(resource, selector)
        except ApiException as error:
            if error.status != _UNAUTHORIZED:
                raise self._told(error, resource) from error
        self._client = None  # its token ran out: one more attempt with that of now
        try:
            return self._ask(resource, selector)
        except ApiException as error:
            raise self._told(error, resource) from error

    def _ask(self, resource: Resource, selector: str) -> list[dict[str, Any]]:
        path = f"{resource.prefix}/namespaces/{self.namespace}/{resource.plural}"
        try:
            if self._client is None:
                self._client = self._build()
            answer = self._client.call_api(
                path,
                "GET",
                query_params=[("labelSelector", selector)],
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
            return [item for item in json.loads(answer.data)["items"] if isinstance(item, dict)]
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return []
            raise
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise errors.Unavailable(
                f"The cluster's API server does not answer: {error}.",
                remedy="What was asked is asked again; check that it runs and can be reached from here.",
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise errors.Unavailable(
                f"What answers in place of the cluster's API server sent no list of {resource}.",
                remedy="Check the address in the kubeconfig.",
            ) from error

    def _told(self, error: ApiException, resource: Resource) -> errors.PilotageError:
        said = _message(error)
        if error.status == _FORBIDDEN:
            return errors.Forbidden(
                f"The cluster does not let this account list {resource} in namespace"
                f" `{self.namespace}`: {said}.",
                remedy=f"Let a Role there allow verb `list` on `{resource.plural}` of API group"
                f' "{resource.group}", and bind it to the account.',
                verb="list",
                resource=str(resource),
                namespace=self.namespace,
            )
        if error.status == _UNAUTHORIZED:
            return errors.Unavailable(
                f"The cluster does not know this account: {said}.",
                remedy="Renew the token; a pod's is renewed by the kubelet, so check its clock, too.",
            )
        return errors.Unavailable(
            f"The cluster's API server answered {error.status} to a list of {resource}: {said}.",
            remedy="It is asked again.",
        )


def connect(settings: Settings) -> Cluster | None:
    """The namespace that releases go to; None where no cluster is to be watched. Nothing is asked yet.

    Raises:
        SettingsError: this is no pod, or the kubeconfig or its context cannot be used.
    """
    if settings.cluster is ClusterAccess.NONE:
        return None
    if settings.cluster is ClusterAccess.INSIDE:
        return inside(settings.cluster_namespace)
    return _by_kubeconfig(settings)


def inside(namespace: str = "", account: Path = SERVICE_ACCOUNT) -> Cluster:
    """The cluster whose pod this process is in.

    Raises:
        SettingsError: it is in none.
    """

    def build() -> Any:
        configuration = kubernetes.client.Configuration()
        loader = InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"), environ=os.environ)
        loader.load_and_set(configuration)
        return _client(configuration)

    try:
        build()
        own = (account / "namespace").read_text(encoding="utf-8").strip()
    except (ConfigException, OSError) as error:
        raise errors.SettingsError(
            f"PILOTAGE_CLUSTER is `inside`, and this process is in no pod with an account: {error}.",
            remedy="Let the pod mount its token (`automountServiceAccountToken: true`),"
            " or set PILOTAGE_CLUSTER=kubeconfig.",
        ) from error
    return Cluster(build, namespace or own)


def _by_kubeconfig(settings: Settings) -> Cluster:
    file = str(settings.cluster_kubeconfig_file) if settings.cluster_kubeconfig_file else None
    context = settings.cluster_context or None

    def build() -> Any:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(
            config_file=file, context=context, client_configuration=configuration, persist_config=False
        )
        return _client(configuration)

    try:
        build()
        contexts, current = kubernetes.config.list_kube_config_contexts(config_file=file)
    except (ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        raise errors.SettingsError(
            f"The kubeconfig {file or 'of KUBECONFIG'} cannot be used: {error}.",
            remedy="Correct PILOTAGE_CLUSTER_KUBECONFIG_FILE and PILOTAGE_CLUSTER_CONTEXT,"
            " or set PILOTAGE_CLUSTER=none.",
        ) from error
    chosen = next((item for item in contexts if item["name"] == context), current)
    return Cluster(build, settings.cluster_namespace or chosen["context"].get("namespace") or "default")


def _client(configuration: Any) -> Any:
    configuration.retries = urllib3.Retry(total=1, redirect=0, backoff_factor=0.2)
    return kubernetes.client.ApiClient(configuration)


def _message(error: ApiException) -> str:
    """What the API server said, from its `Status` where it sent one."""
    try:
        return str(json.loads(error.body)["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return str(error.reason or "nothing more")
