"""Tests on a cluster: any conformant one of Kubernetes 1.30 or later that KUBECONFIG points to.

What they are told besides is in `environments`, how to run them in docs/cluster-loop.md.
Both charts are installed once, into namespaces of their own, and removed at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.e2e import kubectls
from tests.e2e.environments import Environment
from tests.e2e.installations import Installation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a cluster where there is none, and say so."""
    if os.environ.get("KUBECONFIG"):
        return
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason="needs a cluster: KUBECONFIG is not set"))


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """The platform in a cluster, ready."""
    if not kubectls.installed():
        pytest.fail("KUBECONFIG is set, but kubectl is not installed.")
    made = Installation(Environment.read(os.environ))
    try:
        made.begin()
        yield made
    finally:
        if not made.environment.keep:
            made.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # pragma: no cover - on a cluster only
    """Say of a test that failed how the cluster is: events, pods and what they logged."""
    report = yield
    found = getattr(item, "funcargs", {}).get("installation")
    if report.failed and isinstance(found, Installation):  # type: ignore[attr-defined]
        report.sections.append(("the cluster", found.diagnose()))  # type: ignore[attr-defined]
    return report
