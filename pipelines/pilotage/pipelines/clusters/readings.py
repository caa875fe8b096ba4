"""What a namespace runs of one pilot, as one answer.

The kinds are looked for by labels, an InferenceService before a Rollout before a
Deployment: the outer ones make, or stand for, the inner ones.
"""

from __future__ import annotations

from pilotage.core import errors
from pilotage.pipelines.clusters import connections, workloads
from pilotage.pipelines.clusters.connections import Cluster
from pilotage.pipelines.clusters.workloads import Phase, Workload

SERVER = "server"
"""The component that answers requests, beside others of the same pilot."""


def read(cluster: Cluster, pilot: str) -> Workload | None:
    """What the model servers of `pilot` run; None where there are none.

    Raises:
        Unavailable: the API server does not answer.
        Forbidden: the account may not list the kinds that can be there.
    """
    selector = f"{workloads.PILOT_LABEL}={pilot}"
    services = cluster.items(connections.INFERENCE_SERVICES, selector)
    rollouts = [] if services else cluster.items(connections.ROLLOUTS, selector)
    deployments = [
        workloads.deployment(item)
        for item in ([] if rollouts else cluster.items(connections.DEPLOYMENTS, selector))
        if _serves(item)
    ]
    if services:
        found = workloads.inference_service(services[0], deployments)
    elif rollouts:
        found = workloads.rollout(rollouts[0])
    elif deployments:
        found = deployments[0]
    else:
        return None
    return found if found.phase is Phase.HEALTHY else _explained(cluster, pilot, found)


def _serves(item: dict[str, object]) -> bool:
    meta = item.get("metadata")
    labels = meta.get("labels") if isinstance(meta, dict) else None
    component = (labels or {}).get(workloads.COMPONENT_LABEL)
    return component in (None, SERVER, "predictor")


def _explained(cluster: Cluster, pilot: str, found: Workload) -> Workload:
    """With what its pods say, where they may be seen; without, the answer is as right but says less."""
    if found.version is None:
        return found
    selector = f"{workloads.PILOT_LABEL}={pilot},{workloads.VERSION_LABEL}={found.version}"
    try:
        return workloads.with_pods(found, cluster.items(connections.PODS, selector))
    except errors.Forbidden:
        return found
