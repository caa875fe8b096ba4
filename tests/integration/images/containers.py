"""What tests of images do with buildah and podman: build, run closed in, and ask what answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.charts import rendering
from tests.conftest import REPOSITORY
from tests.unit.serving import small_models

NEEDED = ("buildah", "podman", "catatonit", "mmdebstrap")
TAG = "test"
PLACE = REPOSITORY / "build" / "images"
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def run(*words: str, check: bool = True, **variables: str) -> str:
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        check=False,
    )
    assert not check or done.returncode == 0, (
        f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    )
    return done.stdout


def wait_for(claim: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def build(name: str) -> dict[str, Any]:
    words = ("infra/images/build.py", name, "--engine", "buildah", "--tag", TAG)
    facts: dict[str, Any] = json.loads(run(sys.executable, *words).splitlines()[-1])
    sys.stdout.write(f"{facts}\n")
    return facts


def answers(url: str) -> int:
    """The status of an answer; 0 for none."""
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


def text(url: str) -> str:
    try:
        return httpx.get(url, timeout=5).text
    except httpx.TransportError:
        return ""


def closed_in(image: str, *words: str, volumes: dict[Path, str] | None = None, entry: str = "") -> str:
    """What a container of an image prints, its root read only and without a capability."""
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 10001, 10001)  # podman's tmpfs has the image's mode, and root's as owner
        places = dict(volumes or {})
        if "/var/lib/pilotage" not in places.values():
            places[Path(home)] = "/var/lib/pilotage"
        mounts = [word for path, place in places.items() for word in ("--volume", f"{path}:{place}")]
        options = ("--rm", "--network", "none", "--read-only", "--cap-drop", "all")
        options += ("--security-opt", "no-new-privileges", *(("--entrypoint", entry) if entry else ()))
        return run("podman", "run", *options, *mounts, image, *words)


@contextmanager
def mlflow_server(home: Path) -> Iterator[str]:
    """The URL of an MLflow server with its store in `home`, for containers on this machine's network."""
    port = free_port()
    words = ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--serve-artifacts", "--workers", "1"]
    words += ["--artifacts-destination", str(home / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *words],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/health"), 120)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def write_rows(file: Path) -> None:
    rows = small_models.rows(600)
    table = [{**row, "late": late} for row, late in zip(rows, small_models.target(rows), strict=True)]
    lines = [",".join("" if value is None else str(value) for value in row.values()) for row in table]
    file.write_text("\n".join([",".join(table[0]), *lines]) + "\n")


def chart_pod(values: dict[str, Any], port: int, grpc: int) -> list[dict[str, Any]]:
    """What charts/model renders for a pilot, as far as podman knows its kinds.

    On the host's network a pod has no ports of its own, so two that are free take the place of the chart's;
    and podman's probes are programs in the image, where there are none: the test asks in their place.
    """
    pilot = values["spec"]["pilot"]
    common = {
        "pilot": pilot,
        "installationKey": {"name": ""},
        "drain": {"delaySeconds": 1},
        "server": {"env": {"PILOTAGE_FLUSH_SECONDS": "0.5"}},
    }
    rendered = rendering.render("model", common | values, name=pilot, namespace="models")
    (deployment,) = (item for item in rendered if item["kind"] == "Deployment")
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    for key in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
        del server[key]
    for option, number in (("--port", port), ("--grpc-port", grpc)):
        server["args"][server["args"].index(option) + 1] = str(number)
    return [deployment, *(item for item in rendered if item["kind"] == "ConfigMap")]
