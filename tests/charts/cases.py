"""The charts of this repository, and the values that they are rendered with in every check.

A chart in `charts/` is checked as soon as it is there: its `ci/*-values.yaml` are rendered, linted, looked
at by schemas and policies, and compared with `golden/`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.charts import rendering
from tests.charts.manifests import External

HERE = Path(__file__).parent


class Case(NamedTuple):
    """One chart with one file of values."""

    chart: str
    file: Path

    @property
    def name(self) -> str:
        """What the values are called."""
        return self.file.name.removesuffix("-values.yaml")

    @property
    def golden(self) -> Path:
        """Where its rendering is kept."""
        return HERE / "golden" / self.chart / f"{self.name}.yaml"

    @property
    def values(self) -> dict[str, Any]:
        """The values."""
        return rendering.values_file(self.file)

    def __str__(self) -> str:
        return f"{self.chart}-{self.name}"


def charts() -> list[str]:
    """Names of the charts."""
    return sorted(file.parent.name for file in rendering.CHARTS.glob("*/Chart.yaml"))


def of(*names: str) -> list[Case]:
    """All cases of the charts of those names, or of all."""
    return [
        Case(chart, file)
        for chart in names or charts()
        for file in sorted((rendering.CHARTS / chart / "ci").glob("*-values.yaml"))
    ]


@cache
def external(chart: str) -> External:
    """What the chart's manifests may refer to without making it."""
    found = yaml.safe_load((HERE / "externals.yaml").read_text(encoding="utf-8")).get(chart, {})
    names = {kind: frozenset(listed) for kind, listed in found.get("names", {}).items()}
    return External(names, frozenset(found.get("tokens", [])))
