"""What schemas let pass and no cluster should: checks of all manifests of one rendering together.

Each policy takes the manifests and yields what is wrong, by object. `check` asks them all; what a chart may
refer to without making it is listed in `External`. Each has a test with a manifest that breaks it
(`test_policies`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.charts import policies_of_objects, policies_of_pods, policies_of_references
from tests.charts.manifests import External, Manifests
from tests.charts.rendering import Document

Policy = Callable[[Manifests], Iterator[str]]

POLICIES: Mapping[str, Policy] = {
    name: policy
    for module in (policies_of_objects, policies_of_pods, policies_of_references)
    for name, policy in module.POLICIES.items()
}


def check(documents: Sequence[Document], external: External | None = None) -> list[str]:
    """Everything that is wrong, each as `policy: Kind/name: what`; empty when nothing is."""
    manifests = Manifests(documents, external)
    return [f"{name}: {found}" for name, policy in POLICIES.items() for found in policy(manifests)]
