"""Bills of materials: valid CycloneDX with the model, its data and its packages, the same every time."""

from __future__ import annotations

import importlib.metadata
import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.unit.components import scorecards

from pilotage.console.operations.evidence import bills


def test_a_bill_is_valid_and_says_what_the_version_needs() -> None:
    here = importlib.metadata.version("numpy")
    model = scorecards.model().model_copy(
        update={"requirements": (f"numpy=={here}", "made-up_Package==1.2", "own @ file:///x")}
    )
    text = bills.write(model, 3, scorecards.snapshot())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert text == bills.write(model, 3, scorecards.snapshot())
    bill = json.loads(text)
    whole = bill["metadata"]["component"]
    assert (whole["type"], whole["name"], whole["version"]) == ("machine-learning-model", "parcels", "3")
    assert whole["hashes"] == [{"alg": "SHA-256", "content": scorecards.DIGEST}]
    parts = {part["name"]: part for part in bill["components"]}
    assert parts["numpy"]["purl"] == f"pkg:pypi/numpy@{here}"
    assert parts["numpy"]["licenses"]
    assert parts["made-up_Package"]["purl"] == "pkg:pypi/made-up-package@1.2"
    assert "licenses" not in parts["made-up_Package"]
    assert "purl" not in parts["own @ file:///x"]
    assert parts["parcels-data"]["type"] == "data"
    [depends] = [item for item in bill["dependencies"] if "dependsOn" in item]
    assert len(depends["dependsOn"]) == 4


@pytest.mark.parametrize(("name", "version"), [("numpy", "0.0.1"), ("made-up", "1"), ("", "1")])
def test_a_licence_is_told_of_the_very_version_only(name: str, version: str) -> None:
    assert bills.licence_of(name, version) is None
