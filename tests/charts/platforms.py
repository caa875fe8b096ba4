"""charts/pilotage as its tests render it: values over values, containers and their variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.charts import cases, rendering
from tests.charts.manifests import Manifests
from tests.charts.rendering import CHARTS

CHART = "pilotage"
NAMESPACE = "pilotage"
MINIMAL = rendering.values_file(CHARTS / CHART / "ci" / "minimal-values.yaml")
EVERYTHING = rendering.values_file(CHARTS / CHART / "ci" / "everything-values.yaml")
OWN = {"enabled": True, "passwords": {"name": "pilotage-passwords"}}
TRIAL = {"console": {"url": "https://pilotage.example.org"}, "postgresql": OWN}


def over(values: Mapping[str, Any], *changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others over them, key by key."""
    found = dict(values)
    for change in changes:
        for key, value in change.items():
            below = found.get(key)
            both = isinstance(value, dict) and isinstance(below, dict)
            found[key] = over(below, value) if both and below is not None else value
    return found


def render(values: Mapping[str, Any]) -> Manifests:
    """The manifests of the chart in its namespace."""
    return Manifests(
        rendering.render(CHART, values, name="platform", namespace=NAMESPACE), cases.external(CHART)
    )


def container(manifests: Manifests, kind: str, name: str) -> dict[str, Any]:
    """The first container of an object's pods."""
    pod = next(pod for pod in manifests.pods if pod.name == f"{kind}/{name}")
    return dict(pod.spec["containers"][0])


def environment(found: Mapping[str, Any]) -> dict[str, Any]:
    """A container's variables: values, and `secret:NAME/KEY` for those from Secrets."""
    told = {}
    for variable in found["env"]:
        of = variable.get("valueFrom", {}).get("secretKeyRef")
        told[variable["name"]] = f"secret:{of['name']}/{of['key']}" if of else str(variable.get("value", ""))
    return told
