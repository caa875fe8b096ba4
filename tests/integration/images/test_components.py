"""The image of the steps: as people and Kubeflow run them, and as KubeRay starts pods of it.

Only on demand (PILOTAGE_TEST_IMAGES=all), for building it takes minutes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.images.containers import TAG, build, closed_in, run, wait_for, write_rows
from tests.unit.serving import small_models

from pilotage.components.distributed import handovers
from pilotage.core import pilots, settings
from pilotage.pipelines.definitions import needs, rayjobs

pytestmark = [
    pytest.mark.images,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("uncovered"),
    pytest.mark.skipif(
        os.environ.get("PILOTAGE_TEST_IMAGES") != "all", reason="PILOTAGE_TEST_IMAGES=all asks for it"
    ),
]


@pytest.fixture(scope="module")
def components(base: Path) -> str:
    """The image's name, once it is built."""
    build("components")
    return f"localhost/pilotage/components-python:{TAG}"


def test_the_components_image_runs_steps_and_trains_with_workers(components: str, tmp_path: Path) -> None:
    pilot, out, home = (tmp_path / name for name in ("pilot", "out", "home"))
    small_models.pilot(pilot, small_models.YAML)
    write_rows(pilot / "flights.csv")
    for folder in (out, home):
        folder.mkdir()
        os.chown(folder, 10001, 10001)
    folders = {pilot: "/pilot:ro", out: "/out", home: "/var/lib/pilotage"}
    said = closed_in(
        components,
        *("ingest", "--pilot", "/pilot", "--out", "/out/snapshot"),
        volumes=folders,
    )
    assert json.loads(said)["rows"] == 600
    assert (out / "snapshot" / "snapshot.json").is_file()
    train_with_workers(components, pilot, folders)
    assert json.loads((out / "model" / "trained.json").read_text())["model"]["workers"] == 2
    code = "import kfp.dsl.executor_main, lightgbm, xgboost, great_expectations, numba; print('all')"
    started = closed_in(components, "-c", f'mktemp -d && python3 -c "{code}"', entry="sh")
    assert started.splitlines()[-1] == "all"


def train_with_workers(image: str, pilot: Path, folders: dict[Path, str]) -> None:
    """Training imports far more than the ingest before it, and starts a Ray of its own."""
    spec = yaml.safe_load((pilot / "pilot.yaml").read_text())
    spec["train"] = {"estimator": "xgboost", "resources": {"workers": 2}}
    (pilot / "pilot.yaml").write_text(yaml.safe_dump(spec))
    words = ("--pilot", "/pilot", "--snapshot", "/out/snapshot", "--out")
    closed_in(image, "validate", *words, "/out/report", volumes=folders)
    more = ("/out/model", "--run", "run", "--report", "/out/report")
    closed_in(image, "train", *words, *more, volumes=folders)


TOKEN = "0123456789abcdef" * 2
NODE = "walked-{}"
WAIT = """\
SECONDS=0
while true; do
  if (( SECONDS > 120 )); then exit 1; fi
  if ray health-check --address 127.0.0.1:6379 > /dev/null 2>&1; then break; fi
  sleep 5
done
"""
"""What a worker's init container does; /bin/bash runs it."""
SUBMIT = """\
import json, sys, time, urllib.error, urllib.request
def ask(url, body=None, token=sys.argv[1]):
    heads = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, body and json.dumps(body).encode(), heads)
    try:
        return json.load(urllib.request.urlopen(request, timeout=30))
    except urllib.error.HTTPError as error:
        return error.code
jobs = "http://127.0.0.1:8265/api/jobs/"
found = {"stranger": ask(jobs, token="")}
ask(jobs, {"entrypoint": sys.argv[2], "submission_id": "train"})
while (state := ask(jobs + "train"))["status"] in ("PENDING", "RUNNING"):
    time.sleep(1)
print(json.dumps(found | {"status": state["status"], "logs": ask(jobs + "train/logs")["logs"]}))
"""


@pytest.fixture
def rays(components: str, tmp_path: Path) -> Iterator[Rays]:
    """Containers of a RayJob; they have one network, as pods have not, so each has ports of its own."""
    made = Rays(components, tmp_path)
    yield made
    for number in reversed(range(made.nodes)):
        run("podman", "rm", "--force", "--time", "0", NODE.format(number), check=False)


class Rays:
    """Starts what KubeRay makes of a RayJob's pods: `ray start` by bash, in its image and environment."""

    def __init__(self, image: str, folder: Path) -> None:
        self.image, self.nodes = image, 0
        self.volumes = [word for name in ("pilot", "home") for word in self._volume(folder / name)]

    @staticmethod
    def _volume(folder: Path) -> tuple[str, str]:
        folder.mkdir(exist_ok=True)
        os.chown(folder, 10001, 10001)
        return "--volume", f"{folder}:/{'var/lib/pilotage' if folder.name == 'home' else folder.name}"

    def words(self, group: dict[str, Any]) -> list[str]:
        """Options of a container like a pod's."""
        (container,) = group["template"]["spec"]["containers"]
        plain = {item["name"]: item["value"] for item in container["env"] if "value" in item}
        plain |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        options = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"]
        options += ["--user", "10001:10001", "--tmpfs", "/tmp:mode=1777", "--shm-size", "256m", *self.volumes]
        options += [word for name, value in plain.items() for word in ("--env", f"{name}={value}")]
        network = f"container:{NODE.format(0)}" if self.nodes else "none"
        return [*options, "--network", network, "--entrypoint", "/bin/bash", self.image, "-c", "--"]

    def start(self, group: dict[str, Any], *more: str) -> None:
        """A pod's container that goes on."""
        given = group["rayStartParams"].items()
        flags = [f"--{name}" if value == "true" else f"--{name}={value}" for name, value in given]
        ports = (f"--dashboard-agent-listen-port={self.port}", f"--metrics-export-port={8080 + self.nodes}")
        command = " ".join(["ulimit -n 65536; ray start --block", *flags, *ports, *more])
        words = ["podman", "run", "--detach", "--name", NODE.format(self.nodes)]
        run(*words, *self.words(group), command)
        self.nodes += 1

    @property
    def port(self) -> int:
        """Of the next container's probes."""
        return 52365 + self.nodes

    def inside(self, *words: str) -> str:
        """What a program prints in the head's container."""
        return run("podman", "exec", NODE.format(0), "python", *words, check=False)


def test_kuberay_starts_pods_of_it_and_a_job_trains_in_them(rays: Rays, tmp_path: Path) -> None:
    pilot, home = tmp_path / "pilot", tmp_path / "home"
    small_models.pilot(pilot, small_models.YAML)
    write_rows(pilot / "flights.csv")
    spec = yaml.safe_load((pilot / "pilot.yaml").read_text())
    spec["train"] = {"estimator": "xgboost", "resources": {"workers": 2, "cpu": "500m"}}
    (pilot / "pilot.yaml").write_text(yaml.safe_dump(spec))
    name = hand_over(rays.image, tmp_path)
    on_kuberay = needs.of(settings.load(home=home, ray_address="kuberay"))
    job = rayjobs.manifest(pilots.load(pilot).spec, on_kuberay)["spec"]
    head, (workers,) = job["rayClusterSpec"]["headGroupSpec"], job["rayClusterSpec"]["workerGroupSpecs"]
    rays.start(head, "--head", "--dashboard-host=0.0.0.0")
    run("podman", "run", "--rm", *rays.words(workers), WAIT)
    for _ in range(workers["replicas"]):
        rays.start(workers, "--address=127.0.0.1:6379")
    (container,) = head["template"]["spec"]["containers"]
    path = container["readinessProbe"]["httpGet"]["path"]

    def healthy(asks: str) -> bool:
        return "healthy" in rays.inside("-c", asks)

    for port in range(52365, rays.port):
        asks = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}{path}'); print('healthy')"
        wait_for(partial(healthy, asks))
    said = json.loads(rays.inside("-c", SUBMIT, TOKEN, f"{job['entrypoint']} {name}"))
    assert (said["stranger"], said["status"]) == (401, "SUCCEEDED"), said["logs"]
    handovers.take(settings.load(home=home), name, tmp_path / "taken")
    assert json.loads((tmp_path / "taken" / "trained.json").read_text())["model"]["workers"] == 2


def hand_over(image: str, tmp_path: Path) -> str:
    """What the step `train` puts into the storage, the home here, before it makes the RayJob; its name."""
    pilot, out, home = (tmp_path / name for name in ("pilot", "out", "home"))
    out.mkdir()
    os.chown(out, 10001, 10001)
    folders = {pilot: "/pilot:ro", out: "/out", home: "/var/lib/pilotage"}
    closed_in(image, "ingest", "--pilot", "/pilot", "--out", "/out/snapshot", volumes=folders)
    words = ("--pilot", "/pilot", "--snapshot", "/out/snapshot", "--out", "/out/report")
    closed_in(image, "validate", *words, volumes=folders)
    spec = pilots.load(pilot).spec.model_dump_json(exclude_unset=True)
    made = {"snapshot": out / "snapshot", "report": out / "report"}
    name = handovers.give(settings.load(home=home), handovers.Request.of(spec, "/pilot", "r1", **made))
    for path in [home / "handovers", *(home / "handovers").rglob("*")]:
        os.chown(path, 10001, 10001)
    return name
