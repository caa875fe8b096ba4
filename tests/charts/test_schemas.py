"""Every kind that the charts make is known, in every version of Kubernetes; what is wrong in it is found."""

from __future__ import annotations

import copy
import functools
from typing import Any

import kubernetes_validate
import pytest
from tests.charts import cases, rendering, schemas
from tests.charts.rendering import Document, Refused


@functools.cache
def one_of_each() -> dict[str, Document]:
    """The first manifest of each kind, by kind."""
    found: dict[str, Document] = {}
    for case in cases.of():
        for document in rendering.render(case.chart, case.values):
            found.setdefault(schemas.kind_of(document), document)
    return found


def with_value(kind: str, path: str, value: Any) -> Document:
    document = copy.deepcopy(one_of_each()[kind])
    place: Any = document
    *above, last = path.split(".")
    for part in above:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = value
    return document


def test_all_versions_from_the_oldest_to_the_newest_take_every_kind():
    versions = tuple(
        version
        for version in kubernetes_validate.utils.all_versions()
        if _number(version) >= _number(schemas.OLDEST)
    )
    assert len(versions) >= 7
    for document in one_of_each().values():
        assert schemas.problems(document, versions) == []


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def test_every_schema_of_ours_is_needed():
    assert schemas.others().keys() <= one_of_each().keys()


def test_a_kind_that_nobody_knows_is_found():
    unknown = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {}}
    assert all("no schema" in problem for problem in schemas.problems(unknown))
    assert schemas.problems(unknown) != []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("apps/v1 Deployment", "spec.template.spec.containers.0.imagePolicy", "Always"),
        ("apps/v1 Deployment", "spec.replicas", "three"),
        ("batch/v1 CronJob", "spec.jobTemplate.spec.template.spec.containers.0.ports", [{"port": 1}]),
        ("argoproj.io/v1alpha1 Rollout", "spec.strategy.canary.steps.0.setWeigth", 10),
        ("argoproj.io/v1alpha1 Rollout", "spec.strategy.canary.steps.0.setWeight", 101),
        ("argoproj.io/v1alpha1 Rollout", "spec.template.spec.containers.0.imagePolicy", "Always"),
        ("argoproj.io/v1alpha1 Rollout", "metadata.lables", {}),
        ("argoproj.io/v1alpha1 Rollout", "sepc", {}),
        ("argoproj.io/v1alpha1 AnalysisTemplate", "spec.metrics.0.interval", "30"),
        ("argoproj.io/v1alpha1 AnalysisTemplate", "spec.metrics.0.provider.prometheus.url", "http://a"),
        ("serving.kserve.io/v1beta1 InferenceService", "spec.predictor.maxReplica", 3),
        ("serving.kserve.io/v1beta1 InferenceService", "spec.predictor.containers.0.image", 3),
        ("gateway.networking.k8s.io/v1 HTTPRoute", "spec.rules.0.backendRefs.0.port", "http"),
        ("gateway.networking.k8s.io/v1 HTTPRoute", "spec.rules.0.timeout", "3s"),
        ("monitoring.coreos.com/v1 ServiceMonitor", "spec.endpoints.0.targetport", "http"),
        ("monitoring.coreos.com/v1 PrometheusRule", "spec.groups.0.rules.0.for", "soon"),
        ("keda.sh/v1alpha1 ScaledObject", "spec.triggers.0.type", "prometeus"),
        ("keda.sh/v1alpha1 ScaledObject", "spec.triggers.0.metadata.value", 70),
    ],
)
def test_what_is_wrong_is_found(kind: str, path: str, value: Any):
    assert schemas.problems(one_of_each()[kind]) == []
    assert schemas.problems(with_value(kind, path, value)) != []


def test_a_key_that_stands_twice_is_found():
    with pytest.raises(Refused, match="given twice: a"):
        list(rendering.parse("a: 1\na: 2\n"))


def test_what_is_no_yaml_is_found():
    with pytest.raises(Refused, match="no YAML"):
        list(rendering.parse("a: [1\n"))
