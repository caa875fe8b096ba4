"""What the tests on a cluster are told by variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.environments import Environment, Image, WrongVariable


def test_everything_has_a_default() -> None:
    found = Environment.read({"HOME": "/root", "PILOTAGE_URL": "x"})
    assert found == Environment()
    assert found.reference("serving") == "pilotage/serving:0.1.0"
    assert found.image("console") == {
        "registry": "",
        "repository": "pilotage/console",
        "tag": "0.1.0",
        "digest": "",
        "pullPolicy": "IfNotPresent",
    }


def test_all_of_it_can_be_said(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("{}")
    told = {
        "IMAGE_REGISTRY": "registry.example:5000",
        "IMAGE_TAG": "1.2.3",
        "PULL_POLICY": "Never",
        "PULL_SECRET": str(secret),
        "POSTGRES_IMAGE": "registry.example:5000/db/postgres:17.2",
        "STORAGE_CLASS": "fast",
        "PREFIX": "try",
        "PATIENCE": "900",
        "KEEP": "1",
    }
    found = Environment.read({f"PILOTAGE_E2E_{key}": value for key, value in told.items()})
    assert found.reference("serving") == "registry.example:5000/pilotage/serving:1.2.3"
    assert found.postgres == Image("registry.example:5000", "db/postgres", "17.2")
    assert (found.pull_secret, found.storage_class, found.prefix) == (secret, "fast", "try")
    assert (found.patience_seconds, found.keep, found.pull_policy) == (900, True, "Never")


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("postgres:17", Image("", "postgres", "17")),
        ("library/postgres:17", Image("", "library/postgres", "17")),
        ("localhost/postgres:17", Image("localhost", "postgres", "17")),
        ("r.example/a/b/postgres:17", Image("r.example", "a/b/postgres", "17")),
        ("postgres@sha256:abc", Image("", "postgres", "0", "sha256:abc")),
    ],
)
def test_images_are_taken_apart(text: str, image: Image) -> None:
    assert Image.parse(text) == image


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PATIENCE", "soon", "30 to 7200"),
        ("PATIENCE", "5", "30 to 7200"),
        ("PREFIX", "Try_this", "no namespace"),
        ("PULL_POLICY", "Sometimes", "Always"),
        ("PULL_SECRET", "/nowhere", "no file"),
        ("POSTGRES_IMAGE", "postgres", "with a tag"),
        ("IMAGES", "x", "unknown; there are"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(WrongVariable, match=says):
        Environment.read({f"PILOTAGE_E2E_{name}": value})
