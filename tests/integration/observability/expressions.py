"""What rules and dashboards ask Prometheus for, and which metrics and labels an expression names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "infra" / "observability"
TARGET_LABELS = frozenset({"namespace", "instance", "job"})
"""What Prometheus adds to every series of a target."""


@dataclass(frozen=True)
class Asked:
    """An expression, and where it is from."""

    place: str
    expr: str


def rule_files() -> list[Path]:
    return sorted((FOLDER / "rules").glob("*.yaml"))


def rules() -> list[dict[str, Any]]:
    """All rules of all groups."""
    documents = [yaml.safe_load(file.read_text("utf-8")) for file in rule_files()]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """Dashboards by file name."""
    return {
        file.name: json.loads(file.read_text("utf-8"))
        for file in (FOLDER / "grafana/dashboards").glob("*.json")
    }


def of_dashboards() -> Iterator[Asked]:
    """Every expression of a panel, as it is when all is chosen."""
    for name, board in sorted(dashboards().items()):
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield Asked(f"{name}: {panel['title']}", chosen(target["expr"]))


def of_variables() -> Iterator[tuple[str, str]]:
    """Metric and label of every choice."""
    for board in dashboards().values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
                assert found, variable["definition"]
                yield chosen(found[1]), found[2]


def of_rules() -> Iterator[Asked]:
    for rule in rules():
        yield Asked(rule.get("alert") or rule["record"], rule["expr"])


def chosen(expr: str) -> str:
    """An expression with Grafana's variables filled in."""
    return re.sub(r"\$(pilot|namespace)", ".*", expr)


class Reader:
    """Reads expressions with a parser that is not ours."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def selectors(self, expr: str) -> list[tuple[str, frozenset[str]]]:
        """Metrics that an expression selects, each with the labels that it selects them by."""
        return [
            (str(node.name), frozenset(matcher.name for matcher in node.matchers.matchers))
            for node in self._walk(self._parser.parse(expr))
            if isinstance(node, self._parser.VectorSelector)
        ]

    def grouped(self, expr: str) -> frozenset[str]:
        """Labels that an expression groups or matches by."""
        labels: set[str] = set()
        for node in self._walk(self._parser.parse(expr)):
            modifier = getattr(node, "modifier", None)
            if modifier is None:
                continue
            if isinstance(node, self._parser.AggregateExpr):
                labels.update(modifier.labels)
            elif modifier.matching is not None:
                labels.update(modifier.matching.labels)
        return frozenset(labels)

    def _walk(self, node: Any) -> Iterator[Any]:
        yield node
        for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
            below = getattr(node, name, None)
            if below is not None and not isinstance(below, (str, float, int)):
                yield from self._walk(below)
        for below in getattr(node, "args", None) or ():
            yield from self._walk(below)


def recorded(reader: Reader, exposed: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Metrics that rules record, with their labels."""
    found: dict[str, frozenset[str]] = {}
    for rule in rules():
        if "record" in rule:
            labels = frozenset(rule.get("labels", {})) | reader.grouped(rule["expr"])
            found[rule["record"]] = found.get(rule["record"], frozenset()) | labels
    assert not found.keys() & exposed.keys()
    return found
