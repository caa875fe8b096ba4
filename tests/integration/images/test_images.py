"""The images: built here from Debian packages, as small and as closed as they say, and serving under podman.

The model server's image is built from scratch; the others only on demand (PILOTAGE_TEST_IMAGES=all), for what
they would add is minutes and not insight: they are built by the same program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from packaging.utils import canonicalize_name
from tests.conftest import REPOSITORY
from tests.integration.images.containers import (
    TAG,
    answers,
    build,
    chart_pod,
    closed_in,
    free_port,
    mlflow_server,
    run,
    text,
    wait_for,
    write_rows,
)
from tests.unit.serving import small_models

from pilotage.core import features, models, settings
from pilotage.core.registry import Registry
from pilotage.core.registry.tags import FORM_TAG
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage

pytestmark = [
    pytest.mark.images,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("uncovered"),
    pytest.mark.xdist_group("images"),
]

SERVING = f"localhost/pilotage/serving:{TAG}"
MOST_MEGABYTES = 450
ROWS = {"rows": small_models.rows(3)}


@pytest.fixture(scope="module")
def serving(base: Path) -> dict[str, Any]:
    """The model server's image, and what its build says of it."""
    return build("serving")


@pytest.fixture(scope="module")
def tree(serving: dict[str, Any]) -> Iterator[Path]:
    """The image's files."""
    container = run("buildah", "from", SERVING).strip()
    yield Path(run("buildah", "mount", container).strip())
    run("buildah", "rm", container)


@dataclass
class Tracking:
    """An MLflow server that containers reach, with two versions of a pilot: with and without a form."""

    url: str
    settings: Settings


@pytest.fixture(scope="module")
def tracking(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    home = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(home) as url:
        found = Tracking(url, settings.load(home=home / "client", mlflow_tracking_uri=url))
        train(home / "pilot", found.settings)
        register_without_form(found.settings)
        yield found


def train(folder: Path, installation: Settings) -> None:
    """Version 1, by the pipeline; its files are only reached through MLflow."""
    small_models.pilot(folder)
    write_rows(folder / "flights.csv")
    run(
        *(sys.executable, "-m", "pilotage.console", "run", str(folder), "--json"),
        PILOTAGE_HOME=str(installation.home),
        MLFLOW_TRACKING_URI=installation.tracking,
    )
    assert Registry(installation).version(small_models.NAME, 1).tags[FORM_TAG] == "ready"


def register_without_form(installation: Settings) -> None:
    """Version 2, of an estimator that has no inference form."""
    registry = Registry(installation)
    made_by = registry.start_run(small_models.NAME, "train", {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = small_models.write(Path(scratch) / "model", small_models.predictor(), installation)
        uri = registry.log_model(small_models.NAME, made_by, folder, {})
    registry.end_run(made_by)
    assert registry.register(small_models.NAME, made_by, uri, {}) == 2


@dataclass
class Pod:
    """A model server that podman runs by the chart's own manifests, on this machine's network."""

    file: Path
    url: str
    grpc: int

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("podman", "inspect", "flights-pod-0-server"))[0]
        return found

    def log(self) -> str:
        done = subprocess.run(
            ["podman", "logs", "flights-pod-0-server"], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr


Serve = Callable[[int], Pod]


@pytest.fixture
def serve(serving: dict[str, Any], tracking: Tracking, tmp_path: Path) -> Iterator[Serve]:
    """Starts the chart's server with a pinned version."""
    started: list[Path] = []

    def begin(version: int) -> Pod:
        port, grpc = free_port(), free_port()
        file = tmp_path / f"{version}.yaml"
        file.write_text(yaml.safe_dump_all(manifests(version, tracking.url, port, grpc)))
        started.append(file)
        run("podman", "kube", "play", "--network", "host", str(file))
        return Pod(file, f"http://127.0.0.1:{port}", grpc)

    yield begin
    for file in started:
        run("podman", "kube", "down", str(file))


def manifests(version: int, tracking: str, port: int, grpc: int) -> list[dict[str, Any]]:
    values = {
        "model": {"version": version},
        "spec": yaml.safe_load(small_models.YAML),
        "image": {"repository": SERVING.rpartition(":")[0], "tag": TAG},
        "tracking": {"uri": tracking},
    }
    return chart_pod(values, port, grpc)


def test_it_is_as_small_as_it_has_to_be(serving: dict[str, Any], tree: Path) -> None:
    sizes = (path.lstat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    assert serving["megabytes"] == pytest.approx(sum(sizes) / 1e6, abs=0.2)
    assert serving["megabytes"] < MOST_MEGABYTES


def test_nothing_in_it_compiles_installs_or_becomes_somebody_else(tree: Path) -> None:
    programs = {
        path.name
        for folder in ("usr/bin", "usr/sbin", "opt/pilotage/bin")
        for path in (tree / folder).iterdir()
    }
    assert programs.isdisjoint(
        {"pip", "pip3", "gcc", "cc", "ld", "as", "apt", "dpkg", "perl", "bash", "su", "mount"}
    )
    assert {path.name for path in (tree / "opt/pilotage/bin").iterdir()} == {
        "python",
        "python3",
        "python3.13",
    }
    packages = [path.name for path in tree.rglob("site-packages/*")]
    assert [name for name in packages if re.match(r"(pip|setuptools|wheel|hatchling|uv)(-|$)", name)] == []
    risen = [
        path
        for path in tree.rglob("*")
        if path.is_file() and path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    ]
    assert risen == []


def test_it_runs_as_a_user_of_its_own_and_says_what_it_is(serving: dict[str, Any], tree: Path) -> None:
    found = json.loads(run("buildah", "inspect", "--type", "image", SERVING))["OCIv1"]
    configured = found["config"]
    assert configured["User"] == "10001:10001"
    assert configured["WorkingDir"] == "/"
    assert configured["Entrypoint"] == ["/opt/pilotage/bin/python", "-m", "pilotage.serving"]
    labels = configured["Labels"]
    assert labels["org.opencontainers.image.title"] == "pilotage/serving"
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["org.opencontainers.image.revision"])
    assert (tree / labels["dev.pilotage.sbom"].lstrip("/")).is_file()
    assert "pilotage:x:10001:10001:" in (tree / "etc/passwd").read_text()
    assert (tree / "var/lib/pilotage").stat().st_uid == 10001
    assert found["created"] == "2026-01-01T00:00:00Z"


def test_its_bill_lists_exactly_what_is_installed(serving: dict[str, Any], tree: Path) -> None:
    bill = json.loads((tree / "usr/share/sbom/pilotage-serving.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert json.loads((REPOSITORY / serving["sbom"]).read_text()) == bill
    listed = {
        (canonicalize_name(item["name"]), item["version"]) for item in bill["components"] if not debian(item)
    }
    (place,) = (tree / "opt/pilotage/lib").glob("python*/site-packages")
    assert listed == {(canonicalize_name(one.name), one.version) for one in distributions(path=[str(place)])}
    stanzas = (tree / "var/lib/dpkg/status").read_text().split("\n\n")
    packages = {re.search(r"^Package: (.*)$", text, re.MULTILINE)[1] for text in stanzas if text.strip()}  # type: ignore[index]
    assert {item["name"] for item in bill["components"] if debian(item)} == packages
    lock = (REPOSITORY / "infra/images/locks/serving.lock").read_text()
    locked = {
        (canonicalize_name(name), version)
        for name, version in re.findall(r"^([^=\s]+)==(\S+)", lock, re.MULTILINE)
    }
    assert listed - locked == {("pilotage", "0.1.0")}


def debian(component: dict[str, Any]) -> bool:
    return str(component.get("purl", "")).startswith("pkg:deb/")


def test_nothing_in_it_tells_where_it_was_built(tree: Path) -> None:
    (place,) = (tree / "opt/pilotage/lib").glob("python*/site-packages")
    assert list(place.glob("*/direct_url.json")) == []
    assert list(tree.rglob("pip.conf")) == []
    assert not (tree / "build").exists()


def test_a_prediction_is_served_closed_in_and_its_counts_are_kept(serve: Serve, tracking: Tracking) -> None:
    server = serve(1)
    try:
        wait_for(lambda: answers(f"{server.url}/health/ready") == 200, 120)
        answer = httpx.post(f"{server.url}/predict", json=ROWS)
        assert (answer.status_code, answer.json()["version"]) == (200, 1), answer.text
        registry = Registry(tracking.settings)
        trained = models.open_predictor(registry.folder(registry.version("flights", 1)), tracking.settings)
        expected = trained.predict(features.from_rows(trained.model.features, ROWS["rows"]))
        said = [share[1] for share in answer.json()["probabilities"]]
        assert said == pytest.approx(expected.score.tolist(), abs=1e-5)
        assert 'form="onnx"' in httpx.get(f"{server.url}/metrics").text
        assert answers(f"{server.url}/docs") == 200
        predicted_over_grpc(server.grpc)
        explained = httpx.post(f"{server.url}/explain", json=ROWS)
        assert (explained.status_code, "pilotage[estimators]" in explained.text) == (501, True)
    except BaseException:
        sys.stdout.write(server.log())
        raise
    closed = server.inspect()
    assert closed["HostConfig"]["ReadonlyRootfs"]
    status = Path(f"/proc/{closed['State']['Pid']}/status").read_text()
    assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    home = next(mount for mount in closed["Mounts"] if mount["Destination"] == "/var/lib/pilotage")
    run("podman", "stop", "--time", "30", "flights-pod-0-server")
    assert server.inspect()["State"]["ExitCode"] == 0
    counted = Storage(home["Source"]).names("windows/flights")
    assert [name for name in counted if "/1/" in name], counted


def predicted_over_grpc(port: int) -> None:
    from tritonclient import grpc as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    assert client.is_server_ready()
    assert client.is_model_ready("flights")
    client.close()


def test_a_version_without_a_form_says_what_it_lacks(serve: Serve) -> None:
    server = serve(2)
    wait_for(lambda: "pilotage[estimators]" in text(f"{server.url}/health/ready"), 120)
    assert answers(f"{server.url}/health/live") == 200
    assert answers(f"{server.url}/health/ready") == 503
    assert "Version 2 of `flights` has no inference form" in text(f"{server.url}/health/ready")


@pytest.mark.parametrize("room", ["core", "components", "pipelines", "serving", "console"])
def test_a_context_without_a_room_is_refused(engine: None, base: Path, tmp_path: Path, room: str) -> None:
    """A wheel of fewer rooms would build without a word."""
    context = tmp_path / "context"
    shutil.copytree(REPOSITORY / "infra/images", context / "infra/images")
    for name in ("core", "components", "pipelines", "serving", "console", "pilots"):
        if name != room:
            (context / name).mkdir()
    words = [
        "buildah",
        "build",
        "--isolation",
        "chroot",
        "--build-arg",
        "BASE_IMAGE=localhost/pilotage/base:trixie",
    ]
    words += ["--file", str(REPOSITORY / "serving/Containerfile"), str(context)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert room in done.stderr


@pytest.mark.skipif(
    os.environ.get("PILOTAGE_TEST_IMAGES") != "all", reason="PILOTAGE_TEST_IMAGES=all asks for it"
)
def test_the_console_image_says_its_version_and_migrates(base: Path) -> None:
    build("console")
    assert "0.1.0" in closed_in(f"localhost/pilotage/console:{TAG}", "--version")
    assert json.loads(closed_in(f"localhost/pilotage/console:{TAG}", "runs", "--json"))["runs"] == []
