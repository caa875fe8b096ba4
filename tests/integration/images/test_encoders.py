"""Pilots with texts and with images, served by the chart's pod from the `-estimators` image.

Only on demand (PILOTAGE_TEST_IMAGES=all): the image is built, and both pilots are trained with PyTorch.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.integration.images.containers import (
    TAG,
    answers,
    build,
    chart_pod,
    free_port,
    mlflow_server,
    run,
    wait_for,
)
from tests.unit.components.deep import small_encoders

from pilotage.core import features, models, pilots, settings
from pilotage.core.registry import Registry
from pilotage.core.registry.tags import FORM_TAG
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines.execution import runs

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'pilotage[deep]'")
pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

pytestmark = [
    pytest.mark.images,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("uncovered"),
    pytest.mark.skipif(
        os.environ.get("PILOTAGE_TEST_IMAGES") != "all", reason="PILOTAGE_TEST_IMAGES=all asks for it"
    ),
]

VOLUME = "pilotage-test-encoders"


@dataclass
class Trained:
    """A pilot with a first version in an MLflow that containers reach, and rows to ask it about."""

    pilot: pilots.Pilot
    settings: Settings
    rows: list[dict[str, Any]]

    def expected(self) -> list[list[float]]:
        """Probabilities of the trained model, without an inference form."""
        registry = Registry(self.settings)
        found = models.open_predictor(registry.folder(registry.version(self.pilot.name, 1)), self.settings)
        said = found.predict(features.from_rows(found.model.features, self.rows)).probabilities
        assert said is not None
        return [list(map(float, row)) for row in said]


@pytest.fixture(scope="module")
def image(base: Path) -> str:
    """The image, newly built; its name."""
    build("estimators")
    return f"{TAG}-estimators"


@pytest.fixture(scope="module")
def installation(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("encoders")
    with mlflow_server(home) as url:
        yield settings.load(home=home / "client", mlflow_tracking_uri=url, storage_url=str(home / "storage"))


def train(folder: Path, found: Settings, rows: list[dict[str, Any]], spec: dict[str, Any]) -> pilots.Pilot:
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    content = {"version": 1, "goal": {"metric": "accuracy"}, **spec}
    (folder / "pilot.yaml").write_text(yaml.safe_dump(content))
    pilot = pilots.load(folder)
    runs.run(pilot.spec, folder, found)
    assert Registry(found).version(pilot.name, 1).tags[FORM_TAG] == "ready"
    return pilot


def texts(folder: Path, found: Settings) -> Trained:
    """Reviews, through a sentence encoder of the test's own."""
    small_encoders.sentence_model(folder / "encoder")
    said, opinions = small_encoders.texts_and_labels(300)
    rows = [{"review": text, "opinion": label} for text, label in zip(said, opinions, strict=True)]
    spec = {
        "pilot": "reviews",
        "data": {"source": "rows.csv", "target": "opinion", "features": {"review": "text"}},
        "train": {"estimator": "logistic_regression", "encoders": {"review": {"model": "encoder/model"}}},
    }
    asked: list[dict[str, Any]] = [
        {"review": "the room was very good"},
        {"review": "slow food"},
        {"review": None},
    ]
    return Trained(train(folder, found, rows, spec), found, asked)


def images(folder: Path, found: Settings) -> Trained:
    """Digits, through a backbone of the test's own; requests bring pictures as base64."""
    small_encoders.backbone(folder / "backbone.onnx")
    pages, known = small_encoders.scans()
    rows = []
    for place in [place for place in range(len(pages)) if known[place] >= 5][:300]:
        (folder / f"{place}.png").write_bytes(small_encoders.png(pages[place]))
        rows.append({"scan": f"{place}.png", "digit": f"is {known[place]}"})
    spec = {
        "pilot": "digits",
        "data": {"source": "rows.csv", "target": "digit", "features": {"scan": "image"}},
        "train": {"estimator": "logistic_regression", "encoders": {"scan": {"backbone": "backbone.onnx"}}},
    }
    asked = [{"scan": base64.b64encode((folder / row["scan"]).read_bytes()).decode()} for row in rows[:3]]
    return Trained(train(folder, found, rows, spec), found, asked)


@pytest.fixture
def volume() -> Iterator[Path]:
    """The claim of the chart's `storage.volume`, as podman has it."""
    run("podman", "volume", "create", VOLUME)
    (described,) = json.loads(run("podman", "volume", "inspect", VOLUME))
    yield Path(described["Mountpoint"])
    run("podman", "volume", "rm", "--force", VOLUME)


@pytest.mark.parametrize(
    ("make", "below"), [(texts, ""), (images, ""), (texts, "shadows")], ids=["texts", "images", "a shadow"]
)
def test_it_is_served_from_the_estimators_image(
    image: str, installation: Settings, volume: Path, tmp_path: Path,
    make: Callable[[Path, Settings], Trained], below: str,
) -> None:  # fmt: skip
    trained = make(tmp_path, installation.model_copy(update={"home": tmp_path / "home"}))
    place = volume / "encoders"
    shutil.copytree(Path(installation.storage) / "encoders", place)
    for path in (volume, place, *place.rglob("*")):
        os.chown(path, 10001, 10001)
    port = free_port()
    file = tmp_path / "pod.yaml"
    values = {
        "model": {"version": 1},
        "spec": yaml.safe_load((tmp_path / "pilot.yaml").read_text()),
        "image": {"repository": "localhost/pilotage/serving", "tag": image},
        "tracking": {"uri": installation.tracking},
        "storage": {"volume": {"enabled": True, "existingClaim": VOLUME}},
        "server": {"env": {"PILOTAGE_FLUSH_SECONDS": "0.5", "PILOTAGE_RECORD_BELOW": below}},
    }
    file.write_text(yaml.safe_dump_all(chart_pod(values, port, free_port())))
    run("podman", "kube", "play", "--network", "host", str(file))
    name = f"{trained.pilot.name}-pod-0-server"
    try:
        asked(f"http://127.0.0.1:{port}", trained)
        closed_in_as_it_should_be(name)
        windows = f"{below}/windows/{trained.pilot.name}".lstrip("/")
        wait_for(lambda: any("/1/" in path for path in Storage(str(volume)).names(windows)))
        assert below == "" or not list(Storage(str(volume)).names("windows"))
    except BaseException:
        sys.stdout.write(run("podman", "logs", name, check=False))
        raise
    finally:
        run("podman", "kube", "down", str(file))


def asked(url: str, trained: Trained) -> None:
    """What it answers is what the trained model says, and what no vector can be made of is refused."""
    wait_for(lambda: answers(f"{url}/health/ready") == 200, 120)
    said = httpx.post(f"{url}/predict", json={"rows": trained.rows}, timeout=60)
    assert said.status_code == 200, said.text
    for found, expected in zip(said.json()["probabilities"], trained.expected(), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    assert 'form="onnx"' in httpx.get(f"{url}/metrics").text
    (feature,) = trained.rows[0]
    wrong = httpx.post(f"{url}/predict", json={"rows": [{feature: 12}]}, timeout=60)
    assert (wrong.status_code, f"`{feature}`" in wrong.text) == (422, True), wrong.text
    explained = httpx.post(f"{url}/explain", json={"rows": trained.rows[:1]}, timeout=120)
    assert explained.status_code == 200, explained.text


def closed_in_as_it_should_be(container: str) -> None:
    """Unprivileged, its root read-only."""
    (found,) = json.loads(run("podman", "inspect", container))
    assert found["HostConfig"]["ReadonlyRootfs"]
    status = Path(f"/proc/{found['State']['Pid']}/status").read_text()
    assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
