"""Tests on a cluster: any conformant one of Kubernetes 1.30 or later that KUBECONFIG points to."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a cluster where there is none, and say so."""
    if os.environ.get("KUBECONFIG"):
        return
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason="needs a cluster: KUBECONFIG is not set"))
