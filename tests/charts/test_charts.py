"""Every chart with each of its `ci/*-values.yaml`; `make charts` writes what is generated anew."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.charts import cases, documents, policies, rendering, schemas
from tests.charts.cases import Case

EACH_CHART = pytest.mark.parametrize("chart", cases.charts())
EACH_CASE = pytest.mark.parametrize("case", cases.of(), ids=str)


def same(file: Path, text: str) -> None:
    """Compare with a committed file, or write it where REGENERATE asks for that."""
    if os.environ.get("REGENERATE") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = difflib.unified_diff(known.splitlines(), text.splitlines(), "committed", "now", lineterm="", n=2)
    changed = "\n".join(list(lines)[:60])
    assert not changed, f"{file}: `make charts`, and review the change\n{changed}"


def schema_of(chart: str) -> dict[str, Any]:
    file = rendering.CHARTS / chart / "values.schema.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def test_there_are_charts_and_each_has_values_with_everything_and_with_little():
    assert "model" in cases.charts()
    for chart in cases.charts():
        assert {"minimal", "everything"} <= {case.name for case in cases.of(chart)}


@EACH_CHART
def test_values_yaml_is_written_from_the_schema(chart: str):
    same(rendering.CHARTS / chart / "values.yaml", documents.values_yaml(schema_of(chart)))


@EACH_CASE
def test_helm_lints_it_without_a_warning(case: Case):
    assert rendering.lint(case.chart, case.values) == []


@EACH_CASE
def test_every_manifest_has_the_shape_of_its_kind(case: Case):
    found = rendering.render(case.chart, case.values)
    assert [problem for document in found for problem in schemas.problems(document)] == []


@EACH_CASE
def test_no_policy_is_broken(case: Case):
    found = rendering.render(case.chart, case.values)
    assert policies.check(found, cases.external(case.chart)) == []


@EACH_CASE
def test_it_renders_as_it_did(case: Case):
    texts = rendering.texts(case.chart, case.values)
    parts = [f"---\n# {path}\n{text.strip()}\n" for path, text in sorted(texts.items())]
    same(case.golden, "".join(line.rstrip() + "\n" for part in parts for line in part.splitlines()))


def test_no_golden_file_is_left_of_values_that_are_gone():
    kept = {case.golden for case in cases.of()}
    assert set((cases.HERE / "golden").glob("*/*.yaml")) == kept


@EACH_CHART
def test_the_release_may_have_any_name_and_namespace(chart: str):
    for case in cases.of(chart):
        found = rendering.render(chart, case.values, name="r" * 53, namespace="n" * 63)
        assert policies.check(found, cases.external(chart)) == []
        assert [problem for document in found for problem in schemas.problems(document)] == []


@EACH_CHART
def test_what_is_external_is_referred_to(chart: str):
    known = cases.external(chart)
    text = "".join(text for case in cases.of(chart) for text in rendering.texts(chart, case.values).values())
    unused = [name for names in known.names.values() for name in names if f" {name}\n" not in text]
    assert unused == []


@EACH_CHART
def test_the_schema_is_closed_described_and_one_that_older_helms_read(chart: str):
    schema = schema_of(chart)
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["additionalProperties"] is False
    assert documents.open_objects(schema) == []
    assert documents.undescribed(schema) == []


@EACH_CHART
def test_defaults_fit_the_schema(chart: str):
    file = rendering.CHARTS / chart / "values.yaml"
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    schema = {**schema_of(chart), "required": []}
    wrong = [
        error.message
        for error in jsonschema.Draft7Validator(schema).iter_errors(values)
        if error.validator != "required"
    ]
    assert wrong == []


@EACH_CHART
def test_the_readme_tells_what_the_schema_says(chart: str):
    file = rendering.CHARTS / chart / "README.md"
    same(file, documents.with_values(file.read_text(encoding="utf-8"), schema_of(chart)))


@EACH_CHART
def test_it_has_the_projects_version_and_asks_for_a_cluster_that_is_supported(chart: str, repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = yaml.safe_load((rendering.CHARTS / chart / "Chart.yaml").read_text(encoding="utf-8"))
    assert str(found["appVersion"]) == project["version"]
    assert found["kubeVersion"] == ">=1.30.0-0"


@EACH_CHART
def test_a_renamed_value_is_refused_with_its_new_name(chart: str):
    renamed = documents.renamed(schema_of(chart))
    table = yaml.safe_load((rendering.CHARTS / chart / "renamed.yaml").read_text(encoding="utf-8")) or {}
    assert table == renamed, "renamed.yaml and x-renamed-to in the schema tell different stories"
    values = next(case for case in cases.of(chart) if case.name == "minimal").values
    for old, new in renamed.items():
        said = rendering.refusal(chart, {**values, old: "whatever"})
        assert f"`{old}` has another name now" in said
        assert new in said


@EACH_CHART
def test_an_unknown_value_is_refused_by_name(chart: str):
    values = next(case for case in cases.of(chart) if case.name == "minimal").values
    assert "'replicsa' not allowed" in rendering.refusal(chart, {**values, "replicsa": 1})
