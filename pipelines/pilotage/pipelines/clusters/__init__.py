"""What a cluster runs of a pilot: the only package that talks to Kubernetes.

`connections` asks the API server, `workloads` makes sense of what it answers,
`readings` joins both. Nothing is ever changed in a cluster from here: git says
what is to run, and what follows git carries that out.
"""

from __future__ import annotations

from pilotage.pipelines.clusters.connections import Cluster, connect
from pilotage.pipelines.clusters.readings import read
from pilotage.pipelines.clusters.workloads import Kind, Phase, Workload

__all__ = ["Cluster", "Kind", "Phase", "Workload", "connect", "read"]
