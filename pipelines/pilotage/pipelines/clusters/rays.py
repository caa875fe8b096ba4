"""A step carried out by a RayJob that this pod creates, follows and removes: the one thing changed from here.

It needs `create`, `get` and `delete` on `rayjobs` in the pod's own namespace and nothing else. What the job
reads and leaves is in the storage (`distributed.handovers`); what it consists of is in `rayjobs`.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException

from pilotage.components.distributed import handovers
from pilotage.components.distributed.handovers import Request
from pilotage.components.outcomes import Metadata
from pilotage.core import errors, settings
from pilotage.pipelines.clusters.connections import SERVICE_ACCOUNT

logger = logging.getLogger(__name__)

GROUP, VERSION, PLURAL = "ray.io", "v1", "rayjobs"
_LONGEST_NAME = 47
"""That KubeRay takes of a RayJob."""
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_BROKEN = ("Failed", "ValidationFailed")
_POLL_SECONDS = 5.0
_CONFLICT, _NOT_FOUND, _FORBIDDEN = 409, 404, 403
_PATIENCE_SECONDS = 120.0
"""How long the API server may be silent."""
_TIMEOUT_SECONDS = (5.0, 30.0)
"""To connect, and between two parts of an answer: without it a lost packet is waited for for ever."""
_SILENCE = (urllib3.exceptions.HTTPError, OSError)
"""What the client raises where the API server does not answer."""


class RayJobs:
    """The RayJobs of one namespace."""

    def __init__(self, client: Any, namespace: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """`client` is Kubernetes' `CustomObjectsApi`."""
        self._client, self._namespace, self._sleep = client, namespace, sleep

    @classmethod
    def inside(cls) -> RayJobs:
        """Those of the pod's own namespace, with the pod's own account.

        Raises:
            SettingsError: this is no pod, or it has no token.
        """
        try:
            kubernetes.config.load_incluster_config()
            namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
        except (ConfigException, OSError) as error:
            raise errors.SettingsError(
                f"A RayJob can be created by a pod with an account only: {error}.",
                remedy="Set PILOTAGE_RAY_ADDRESS to a cluster's address, or leave it empty.",
            ) from error
        return cls(kubernetes.client.CustomObjectsApi(), namespace)

    def carry_out(self, job: dict[str, Any], name: str, argument: str) -> None:
        """Create `job` as `name`, with `argument` for its entry point, and wait until it has ended.

        One of that name that ended before is replaced, one that goes on is waited for. It is removed
        afterwards, also when this process is told to stop.

        Raises:
            Forbidden: the account may not.
            SettingsError: the cluster knows no RayJobs.
            Unavailable: the API server does not answer, or not as it should.
            StepFailed: KubeRay could not make it run.
        """
        body = json.loads(json.dumps(job))
        body["metadata"]["name"] = name
        body["spec"]["entrypoint"] += f" {argument}"
        with suppress(ValueError):  # only the main thread may
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(errors.ExitCode.FAILED)))
        self._create(body, name)
        try:
            status = self._until_ended(name)
        finally:
            self._delete(name)
        if status.get("jobDeploymentStatus") in _BROKEN and not status.get("jobStatus"):
            raise errors.StepFailed(
                f"KubeRay could not run RayJob `{name}`: {status.get('message') or status.get('reason')}.",
                remedy="Look at its events: `kubectl describe rayjob`.",
            )

    def _create(self, body: dict[str, Any], name: str) -> None:
        try:
            self._client.create_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, body, _request_timeout=_TIMEOUT_SECONDS
            )
        except _SILENCE as error:
            raise _silent(error) from error
        except ApiException as error:
            if error.status != _CONFLICT:
                raise self._told(error, "create") from error
            if not _has_ended(self._status(name)):
                logger.info("RayJob %s goes on from an earlier attempt", name)
                return
            self._delete(name)
            while self._status(name) is not None:
                self._sleep(_POLL_SECONDS)
            self._create(body, name)

    def _until_ended(self, name: str) -> dict[str, Any]:
        said = ""
        while True:
            status = self._status(name)
            if status is None:
                raise errors.StepFailed(f"RayJob `{name}` was removed while it ran.", remedy="Run it again.")
            state = f"{status.get('jobDeploymentStatus', '')} {status.get('jobStatus', '')}".strip()
            if state and state != said:
                logger.info("RayJob %s: %s", name, state)
                said = state
            if _has_ended(status):
                return status
            self._sleep(_POLL_SECONDS)

    def _status(self, name: str) -> dict[str, Any] | None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                found = self._client.get_namespaced_custom_object(
                    GROUP, VERSION, self._namespace, PLURAL, name, _request_timeout=_TIMEOUT_SECONDS
                )
                return dict(found.get("status") or {})
            except ApiException as error:
                if error.status == _NOT_FOUND:
                    return None
                if error.status == _FORBIDDEN or time.monotonic() > until:
                    raise self._told(error, "get") from error
            except _SILENCE as error:
                if time.monotonic() > until:
                    raise _silent(error) from error
            self._sleep(_POLL_SECONDS)

    def _delete(self, name: str) -> None:
        try:
            self._client.delete_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, name, _request_timeout=_TIMEOUT_SECONDS
            )
        except (ApiException, *_SILENCE) as error:
            if getattr(error, "status", None) != _NOT_FOUND:
                logger.warning("RayJob %s could not be removed: %s; it goes by itself", name, error)

    def _told(self, error: ApiException, verb: str) -> errors.PilotageError:
        if error.status == _FORBIDDEN:
            return errors.Forbidden(
                f"The step's account may not `{verb}` rayjobs in {self._namespace}.",
                remedy="Set `kubeflow.ray.enabled` of charts/pilotage, which gives it that right.",
            )
        if error.status == _NOT_FOUND:
            return errors.SettingsError(
                "The cluster knows no RayJobs.", remedy="Install the KubeRay operator, 1.5.1 or later."
            )
        return errors.Unavailable(
            f"Kubernetes' API says {error.status} to `{verb}` of a RayJob: {error.reason}.",
            remedy="Run it again; if that does not help, look at the API server.",
        )


def _silent(error: Exception) -> errors.Unavailable:
    return errors.Unavailable(
        f"Kubernetes' API does not answer: {error}.",
        remedy="Run it again; check that the step's pod may reach the API server.",
    )


def _has_ended(status: dict[str, Any] | None) -> bool:
    found = status or {}
    return found.get("jobStatus") in _ENDED or found.get("jobDeploymentStatus") in (*_BROKEN, "Complete")


def train(
    rayjob: str, pilot: str, folder: str, run: str, *, snapshot: str, report: str, out: str
) -> Metadata:
    """The step `train` with the same inputs and outputs, carried out by `rayjob`, its manifest as JSON.

    Exits as the step does there.
    """
    installation = settings.load()
    request = Request.of(pilot, folder, run, snapshot=Path(snapshot), report=Path(report))
    name = handovers.give(installation, request)
    RayJobs.inside().carry_out(json.loads(rayjob), f"train-{run.lower()}"[:_LONGEST_NAME], name)
    return handovers.take(installation, name, Path(out))
