"""checkov has nothing against the charts' manifests that is not waived by name, with a reason."""

from __future__ import annotations

import functools
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml
from tests.charts import cases, rendering, scanners
from tests.charts.scanners import Finding

pytestmark = pytest.mark.slow

BROKEN = "broken"
NAMESPACE = "models"


@functools.cache
def waivers() -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = yaml.safe_load((cases.HERE / "waivers.yaml").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """All charts with all values but the least, which pin no digest; and a manifest bad on purpose."""
    try:
        program = scanners.installed()
    except scanners.NotInstalled as error:
        pytest.skip(str(error))
    files = {
        f"{case.chart}-{case.name}": rendering.render(case.chart, case.values, namespace=NAMESPACE)
        for case in cases.of()
        if case.name != "minimal"
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad"},
        "spec": {
            "containers": [{"name": "bad", "image": "bad:latest", "securityContext": {"privileged": True}}]
        },
    }
    return scanners.scan(program, tmp_path_factory.mktemp("checkov"), {**files, BROKEN: [pod]}, NAMESPACE)


def waived(finding: Finding) -> bool:
    chart = finding.file.split("-", 1)[0]
    return any(
        one["chart"] == chart
        and finding.check in one["checks"]
        and any(fnmatch(finding.object, name) for name in one["objects"])
        for one in waivers()
    )


def test_nothing_is_found_that_is_not_waived(findings: list[Finding]):
    assert [one for one in findings if one.file != BROKEN and not waived(one)] == []


def test_it_would_find_a_bad_manifest(findings: list[Finding]):
    found = {one.check for one in findings if one.file == BROKEN}
    assert {"CKV_K8S_16", "CKV_K8S_14"} <= found  # privileged, and an image that is not pinned


def test_every_waiver_is_needed_and_has_a_reason(findings: list[Finding]):
    found = {(one.file.split("-", 1)[0], one.check, one.object) for one in findings}
    for waiver in waivers():
        assert len(waiver["reason"]) > 20
        for check in waiver["checks"]:
            for name in waiver["objects"]:
                assert any(
                    (chart, code) == (waiver["chart"], check) and fnmatch(of, name)
                    for chart, code, of in found
                ), (check, name)
