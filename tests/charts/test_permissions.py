"""docs/permissions.md tells what each right, token, secret and opening of the charts is for: all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.charts import cases, rendering
from tests.charts.manifests import Manifests
from tests.charts.rendering import REPOSITORY

PAGE = (REPOSITORY / "docs" / "permissions.md").read_text(encoding="utf-8")
_COMMENT = re.compile(r"^ {4}# (.*)$")


def table(title: str) -> list[list[str]]:
    """The cells of the table below a heading, backticks taken off those that are one word."""
    section = PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    head, *rows = found
    assert rows, title
    assert {len(row) for row in found} == {len(head)}, title
    return [row for row in rows if not set("".join(row)) <= set("- ")]


def words(cell: str) -> list[str]:
    """What is in backticks in a cell."""
    return re.findall(r"`([^`]*)`", cell)


def rendered_rules() -> set[tuple[str, str, str, str]]:
    """Chart, API group, resource and verb of every rule."""
    return {
        (case.chart, group, resource, verb)
        for case in cases.of()
        for document in rendering.render(case.chart, case.values)
        if document["kind"] in ("Role", "ClusterRole")
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_every_right_in_kubernetes_is_explained_and_none_is_that_is_not_given() -> None:
    told = {
        (words(chart)[0], (words(group) or [""])[0].replace("core", ""), resource, verb)
        for chart, _, group, resources, verbs, why in table("Rights in Kubernetes")
        for resource in words(resources)
        for verb in words(verbs)
        if why
    }
    assert told == rendered_rules()


_RESOURCES = {"experiment": "experiments", "run": "runs", "recurring_run": "jobs"}


def test_the_rights_at_kubeflow_are_those_of_the_calls_that_are_made() -> None:
    """Kubeflow asks for the verb of an operation; `terminate` and `readLog` are its own, of runs."""
    text = (REPOSITORY / "pipelines/pilotage/pipelines/kubeflow/clients.py").read_text(encoding="utf-8")
    called = {(_RESOURCES[service], verb) for service, verb in re.findall(r"\b(\w+)_service_([a-z]+)_", text)}
    assert '"GET", places' in text, "the log, which the API's description does not have"
    given = {
        (resource, verb) for _, group, resource, verb in rendered_rules() if group == "pipelines.kubeflow.org"
    }
    assert given == called | {("runs", "readLog")}


def test_every_token_is_explained() -> None:
    rendered = {
        (
            case.chart,
            pod.labels["app.kubernetes.io/component"],
            source["serviceAccountToken"].get("audience", ""),
        )
        for case in cases.of()
        for pod in Manifests(rendering.render(case.chart, case.values)).pods
        for volume in pod.spec.get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    }
    told = {
        (words(chart)[0], words(pods)[0], words(audience)[0].replace("Kubernetes", ""))
        for chart, pods, audience, _, why in table("Tokens of service accounts")
        if why
    }
    assert told == rendered
    assert all(
        pod.spec["automountServiceAccountToken"] is False
        for case in cases.of()
        for pod in Manifests(rendering.render(case.chart, case.values)).pods
    )


def secrets(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Values of a schema that name a Secret."""
    for name, part in schema.get("properties", {}).items():
        path = f"{above}{name}"
        refers = any(one.get("$ref", "").endswith("/secretKey") for one in part.get("allOf", []))
        many = "/secretKey" in str(part.get("additionalProperties"))
        if (
            refers
            or many
            or name in ("secret", "tlsSecret", "imagePullSecrets", "componentsSecret", "passwords")
        ):
            yield path
        else:
            yield from secrets(part, f"{path}.")


@pytest.mark.parametrize("chart", cases.charts())
def test_every_secret_is_explained(chart: str) -> None:
    told = {
        value
        for of, values, holds, read in table("Secrets")
        if words(of) == [chart] and holds and read
        for value in words(values)
    }
    assert told == set(secrets(rendering.schema(chart)))


def openings() -> Iterator[tuple[str, str, str, str]]:
    """Chart, pods, direction and meaning of every rule, as the comment above it says."""
    for case in cases.of():
        for text in rendering.texts(case.chart, case.values).values():
            for part in text.split("\n---"):
                if re.search(r"^kind: NetworkPolicy$", part, re.MULTILINE):
                    yield from _of_policy(case.chart, part)


def _of_policy(chart: str, text: str) -> Iterator[tuple[str, str, str, str]]:
    component = re.search(r"^ {4}app\.kubernetes\.io/component: (\S+)$", text, re.MULTILINE)
    assert component is not None
    way, said = "", None
    for line in text.splitlines():
        found = re.match(r"^ {2}(ingress|egress):", line)
        if found:
            way = {"ingress": "in", "egress": "out"}[found[1]]
        comment = _COMMENT.match(line)
        if comment and way:
            said = comment[1]
            yield chart, component[1], way, said
        elif way and line.startswith("    - "):
            assert said, f"a rule of {chart}'s {component[1]} does not say what it is for: {line}"


def test_every_opening_of_a_network_policy_is_explained() -> None:
    told = {
        (words(chart)[0], words(pods)[0], way, meaning)
        for chart, pods, way, meaning, values in table("Openings in the network")
        if values
    }
    assert told == set(openings())


def test_openings_name_values_that_exist() -> None:
    for chart, _, _, meaning, values in table("Openings in the network"):
        schema = rendering.schema(words(chart)[0])
        for value in words(values):
            part: Any = schema
            for key in value.split("."):
                part = part["properties"].get(key)
                assert part is not None, f"`{value}` of `{meaning}` is no value"
