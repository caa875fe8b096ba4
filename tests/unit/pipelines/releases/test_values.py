"""The file that a release writes: what the chart takes, always the same bytes, read alike by all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pilotage.core import errors, pilots
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.releases import values
from pilotage.pipelines.releases.values import Evidence, Image, Values, Version

DIGEST = "sha256:" + "7" * 64
MODEL = Version(version=7, digest=DIGEST, profile=DIGEST)
TEXT = """
version: 1
pilot: small
goal: {metric: roc_auc}
data: {source: data.csv, target: y}
"""


@pytest.fixture(scope="module")
def schema() -> Any:
    """The chart's own, which is closed."""
    path = Path(__file__).parents[4] / "charts" / "model" / "values.schema.json"
    return json.loads(path.read_text())


def built(spec: PilotSpec, **evidence: str) -> Values:
    return values.build(spec, MODEL, values.image_of(""), Evidence(**evidence))


@pytest.mark.parametrize("name", ["flight-delay", "diamond-price", "digits"])
def test_the_chart_takes_what_is_written_for_each_example(repository: Path, schema: Any, name: str):
    spec = pilots.load(repository / "pilots" / name).spec
    data = values.write(
        built(spec, run="run-1", snapshot=DIGEST, scorecard=DIGEST, approver="ada", reason="x")
    )
    jsonschema.validate(yaml.safe_load(data), schema)


@pytest.mark.parametrize(
    "serve",
    [
        "{rollout: {strategy: canary}}",
        "{rollout: {strategy: shadow, steps: [5, 20], pause: 90s}}",
        "{rollout: {bounds: {errors: null, latency: null, score: null}}}",
        "{replicas: {min: 3, max: 3}, cpu: '2', memory: 1.5Gi, p99_ms: 0.5}",
    ],
)
def test_the_chart_takes_every_way_to_serve(schema: Any, serve: str):
    spec = pilots.parse(f"{TEXT}serve: {serve}\n")
    jsonschema.validate(yaml.safe_load(values.write(built(spec))), schema)


@pytest.mark.parametrize("text", ["own/server:1.2", f"own/server@{DIGEST}", f"own/server:1.2@{DIGEST}"])
def test_the_chart_takes_every_way_to_name_an_image(schema: Any, text: str):
    made = values.build(pilots.parse(TEXT), MODEL, values.image_of(text), Evidence())
    jsonschema.validate(yaml.safe_load(values.write(made)), schema)
    assert values.read(values.write(made), "x") == made


@pytest.mark.parametrize("text", ["server", "own/server:", "own server:1", "own/server@sha256:12", "OWN:1"])
def test_an_image_without_a_tag_or_a_digest_is_refused(text: str):
    with pytest.raises(errors.SettingsError, match="PILOTAGE_RELEASE_IMAGE"):
        values.image_of(text)


def test_the_same_values_are_the_same_bytes_and_are_read_back():
    one, other = (built(pilots.parse(TEXT), reason="why") for _ in range(2))
    assert values.write(one) == values.write(other)
    assert values.read(values.write(one), "x") == one
    assert values.write(one).startswith(b"# Written by `pilotage release`")


def test_who_said_so_and_why_is_no_difference_and_all_else_is():
    made = built(pilots.parse(TEXT), reason="one", approver="ada")
    assert made.describes_the_same_as(built(pilots.parse(TEXT), reason="other", approver="bob"))
    assert not made.describes_the_same_as(built(pilots.parse(TEXT), run="run-2"))
    assert not made.describes_the_same_as(made.model_copy(update={"image": Image(repository="x", tag="2")}))


GO_NUMBER = re.compile(
    r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|0[xob][0-9a-fA-F_]+|[-+]?\.(inf|nan).*", re.IGNORECASE
)
"""What a reader of YAML 1.2, or of 1.1, may take for a number."""


@given(st.text(max_size=30))
def test_any_text_stays_text_for_every_reader_of_yaml(text: str):
    made = built(pilots.parse(TEXT), reason=text)
    data = values.write(made).decode()
    assert yaml.safe_load(data)["evidence"]["reason"] == text
    written = data.rpartition("reason:")[2].strip()
    if not written.startswith('"'):
        assert not GO_NUMBER.fullmatch(written)
        assert written.lower() not in {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ""}


def test_words_that_helm_takes_for_truth_are_quoted_as_keys_too():
    spec = pilots.parse(f"{TEXT}retrain: {{on: [drift]}}\n")
    assert '"on":\n' in values.write(built(spec)).decode()


@pytest.mark.parametrize(
    "data",
    [b"", b"a: [", b"- x", b"pilot: x\n", b"\xff\xfe", b"&a [*a]", b"model: {version: 1}\nmore: x\n"],
)
def test_what_somebody_edited_is_no_release_and_says_so(data: bytes):
    with pytest.raises(errors.DataError, match="does not say what a release writes"):
        values.read(data, "environments/production/x/values.yaml")
    assert values.parsed(data) is None
