"""What a canary is judged by, evaluated by Prometheus' own engine: it is taken back when it should be."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from tests.charts import cases, promtool, rendering

from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.telemetry.readings import Loaded

LABELS = 'namespace="models",pilot="flight-delay",version="7",rollouts_pod_template_hash'
HOUR = 60
"""Minutes after which is asked; series have a value every half minute."""
KUBERNETES = frozenset(
    {
        "kube_horizontalpodautoscaler_status_current_replicas",
        "kube_job_status_failed",
    }
)
"""Metrics of kube-state-metrics that rules use."""


@functools.cache
def manifest(case: str, kind: str, name: str) -> dict[str, Any]:
    values = next(one for one in cases.of("model") if one.name == case).values
    found = rendering.render("model", values)
    return next(one for one in found if one["kind"] == kind and one["metadata"]["name"] == name)


def metrics(case: str = "canary", name: str = "flight-delay-bounds") -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in manifest(case, "AnalysisTemplate", name)["spec"]["metrics"]}


def query(name: str, template: str = "flight-delay-bounds") -> str:
    text: str = metrics(name=template)[name]["provider"]["prometheus"]["query"]
    return text.replace("{{args.hash}}", "new").replace("{{args.stable-hash}}", "old")


def bound(name: str) -> float:
    found = re.search(r"result\[0\] <= ([0-9.]+)$", metrics()[name]["successCondition"])
    assert found is not None
    return float(found[1])


def grown(metric: str, side: str, total: int, extra: str = "") -> dict[str, str]:
    """A counter that reaches `total` evenly in the hour before it is asked for, beginning from 0."""
    steps = 2 * HOUR
    values = " ".join(str(total * step // steps) for step in range(steps + 1))
    return {"series": f'{metric}{{{LABELS}="{side}"{extra}}}', "values": values}


def served(side: str, answered: int, failed: int = 0) -> list[dict[str, str]]:
    return [
        grown("pilotage_version_requests_total", side, answered),
        grown("pilotage_version_failures_total", side, failed),
    ]


def timed(side: str, fast: int, slow: int) -> list[dict[str, str]]:
    """Calls of the model of up to 5 ms, and of up to 100 ms."""
    counts = {"0.0025": 0, "0.005": fast, "0.05": fast, "0.1": fast + slow, "+Inf": fast + slow}
    return [
        grown("pilotage_version_model_seconds_bucket", side, count, f',le="{le}"')
        for le, count in counts.items()
    ]


def scored(side: str, *counts: int) -> list[dict[str, str]]:
    return [
        grown("pilotage_version_scores_total", side, count, f',bin="{place / 20:.2f}"')
        for place, count in enumerate(counts)
        if count
    ]


OLD = served("old", 9000, 9)
NEW = served("new", 1000)
FEW = served("new", 100)
FAILING = served("new", 1000, 30)
FAST = timed("old", 9000, 0)
SLOWER = timed("new", 970, 30)
EVEN = scored("old", *[500] * 10)
CASES = [
    ("a-good-one-fails-as-seldom", "errors", [*OLD, *served("new", 1000, 2)], "within"),
    ("it-fails-often", "errors", [*OLD, *FAILING], "beyond"),
    ("it-fails-often-as-the-old-one-does", "errors", [*served("old", 9000, 300), *FAILING], "within"),
    ("four-failures-are-no-judgement", "errors", [*OLD, *served("new", 10, 4)], "silent"),
    ("five-failures-are", "errors", [*OLD, *served("new", 10, 5)], "beyond"),
    ("few-requests-without-failure-are-none", "errors", [*OLD, *served("new", 400)], "silent"),
    ("no-traffic-on-the-old-one", "errors", [*served("old", 0), *FAILING], "beyond"),
    ("no-series-of-the-old-one", "errors", FAILING, "beyond"),
    ("nothing-at-all", "errors", [], "silent"),
    ("as-fast", "latency", [*NEW, *FAST, *timed("new", 1000, 0)], "within"),
    ("slow-in-three-of-a-hundred", "latency", [*NEW, *FAST, *SLOWER], "beyond"),
    ("slow-among-few-requests", "latency", [*FEW, *FAST, *timed("new", 97, 3)], "silent"),
    ("as-slow-as-the-old-one", "latency", [*NEW, *timed("old", 8700, 300), *SLOWER], "within"),
    ("alike", "score", [*NEW, *EVEN, *scored("new", *[100] * 10)], "within"),
    ("by-chance", "score", [*NEW, *EVEN, *scored("new", 50, 75, 58, 62, 45, 66, 70, 55, 61, 58)], "within"),
    ("shifted", "score", [*NEW, *EVEN, *scored("new", *[0] * 5, *[200] * 5)], "beyond"),
    ("where-none-were", "score", [*NEW, *EVEN, *scored("new", *[0] * 10, 1000)], "beyond"),
    ("shifted-among-few", "score", [*FEW, *EVEN, *scored("new", *[0] * 5, *[20] * 5)], "silent"),
    ("none-of-the-old-one", "score", [*NEW, *scored("new", *[100] * 10)], "silent"),
]


def asked(name: str, series: list[dict[str, str]], verdict: str) -> dict[str, Any]:
    """A test for promtool: the query has a result within the bound, beyond it, or none."""
    wanted = {"within": (1, 0), "beyond": (0, 1), "silent": (0, 0)}[verdict]
    below, above = f"({query(name)}) <= {bound(name)}", f"({query(name)}) > {bound(name)}"
    return {
        "interval": promtool.INTERVAL,
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f"count({expression}) or vector(0)",
                "eval_time": f"{HOUR}m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
            for expression, value in zip((below, above), wanted, strict=True)
        ],
    }


@pytest.mark.parametrize(
    ("_", "name", "series", "verdict"), CASES, ids=[f"{one[1]}-{one[0]}" for one in CASES]
)
def test_a_canary_is_judged(_: str, name: str, series: list[dict[str, str]], verdict: str, tmp_path: Path):
    assert promtool.run(tmp_path, [asked(name, series, verdict)]) == ""


def test_a_judgement_that_is_wrong_would_be_noticed(tmp_path: Path):
    assert promtool.run(tmp_path, [asked("errors", [*OLD, *served("new", 1000, 30)], "within")]) != ""


def test_requests_are_counted_with_those_that_failed_and_from_nothing(tmp_path: Path):
    text = query("requests", "flight-delay-traffic")
    tests = [
        {
            "interval": promtool.INTERVAL,
            "input_series": series,
            "promql_expr_test": [
                {"expr": text, "eval_time": f"{HOUR}m", "exp_samples": [{"labels": "{}", "value": value}]}
            ],
        }
        for series, value in ((served("new", 480, 20), 500), ([], 0), (served("old", 480), 0))
    ]
    assert promtool.run(tmp_path, tests) == ""


def test_bounds_that_are_null_are_not_measured():
    assert set(metrics()) == {"errors", "latency", "score", "ready"}
    assert set(metrics("shadow")) == {"errors", "score", "ready"}


def alert(name: str, series: list[dict[str, str]], minutes: int, *, fires: bool) -> dict[str, Any]:
    rules = manifest("canary", "PrometheusRule", "flight-delay")["spec"]["groups"][0]["rules"]
    rule = next(one for one in rules if one["alert"] == name)
    expected = [{"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}] if fires else []
    test = {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": expected}
    return {"interval": promtool.INTERVAL, "input_series": series, "alert_rule_test": [test]}


def steady(text: str, value: float) -> dict[str, str]:
    return {"series": text, "values": f"{value}+0x600"}


def test_alerts_fire_when_they_should(tmp_path: Path):
    where = 'namespace="models",pilot="flight-delay"'
    right = [steady(f'pilotage_model_version{{{where},pod="{pod}"}}', 7) for pod in "abc"]
    old = steady(f'pilotage_model_version{{{where},pod="d"}}', 6)
    none = steady(f'pilotage_model_version{{{where},pod="c"}}', 0)
    scaler = (
        'kube_horizontalpodautoscaler_status_current_replicas{namespace="models",horizontalpodautoscaler='
    )
    tests = [
        alert("ModelServersMissing", right, 30, fires=False),
        alert("ModelServersMissing", [*right[:2], none], 30, fires=True),
        alert("ModelServersMissing", [*right[:2], none], 5, fires=False),
        alert("ModelServersMissing", [], 30, fires=True),
        alert("ModelVersionNotReleased", right, 150, fires=False),
        alert("ModelVersionNotReleased", [*right, old], 150, fires=True),
        alert("ModelVersionNotReleased", [*right, old], 60, fires=False),
        alert("ModelReplicasAtMost", [steady(f'{scaler}"keda-hpa-flight-delay"}}', 12)], 30, fires=True),
        alert("ModelReplicasAtMost", [steady(f'{scaler}"keda-hpa-flight-delay"}}', 11)], 30, fires=False),
        alert("ModelReplicasAtMost", [steady(f'{scaler}"other"}}', 12)], 30, fires=False),
    ]
    for test in tests[7:8]:  # the alert carries the series' labels, too
        test["alert_rule_test"][0]["exp_alerts"][0]["exp_labels"] = {
            **test["alert_rule_test"][0]["exp_alerts"][0]["exp_labels"],
            "namespace": "models",
            "horizontalpodautoscaler": "keda-hpa-flight-delay",
        }
    groups = manifest("canary", "PrometheusRule", "flight-delay")["spec"]["groups"]
    assert promtool.run(tmp_path, tests, groups) == ""


def exposed() -> set[str]:
    """Names of the series that a model server has."""
    meters = Meters({"flights": 0.1})
    meters.route("/predict", "POST").observe(200, 0.001)
    meters.released("idle", 1, 1, 0.0, 0.001)
    meters.version("flights", 1).answered(1, 1, 0.001)
    meters.version("flights", 1).scored({"0.50": 1})
    meters.watch(lambda: [Loaded("flights", 1, "onnx")])
    return set(re.findall(r"^([a-z_]+)[{ ]", meters.text().decode(), re.MULTILINE))


def test_every_metric_that_the_chart_names_exists():
    text = "".join(
        text for case in cases.of("model") for text in rendering.texts("model", case.values).values()
    )
    named = set(re.findall(r"\b((?:pilotage|kube|process)_[a-z_]+)(?=\{|\)|$)", text, re.MULTILINE))
    named |= set(re.findall(r"name: (pilotage_[a-z_]+)", text))
    assert "pilotage_version_scores_total" in named
    assert named - exposed() - KUBERNETES == set()
