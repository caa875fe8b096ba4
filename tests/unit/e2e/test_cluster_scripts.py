"""`make cluster`: what it asks of docker, kind, kubectl and helm, told by programs in their places."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.charts import policies, rendering, schemas
from tests.charts.manifests import External

TOOLS = ("docker", "kind", "kubectl", "helm")
SCRIPTS = rendering.REPOSITORY / "infra" / "cluster"
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$(basename "$0") $*" in
    "kind get clusters") cat "$CLUSTERS" ;;
    "kind create cluster"*) echo pilotage >> "$CLUSTERS" ;;
    "kind delete cluster"*) : > "$CLUSTERS" ;;
    *"get secret pilotage-passwords"*) exit 1 ;;
    *"-n models get secret pilotage") exit 1 ;;
    *"jsonpath="*) printf 'a2V5LW9mLXRoZS1wbGF0Zm9ybQ==' ;;
    "docker image inspect"*) test ! -e "$CALLS.no-image" ;;
    "docker info") test ! -e "$CALLS.no-engine" ;;
esac
"""


class Machine:
    """A machine with only some of the tools."""

    def __init__(self, folder: Path, tools: tuple[str, ...] = TOOLS) -> None:
        self.calls_file = folder / "calls"
        self.clusters = folder / "clusters"
        self.clusters.touch()
        self._bin = folder / "bin"
        self._bin.mkdir()
        for tool in tools:
            (self._bin / tool).write_text(STAND_IN)
            (self._bin / tool).chmod(0o755)
        for plain in ("bash", "sh", "cat", "grep", "head", "base64", "tr", "basename", "dirname", "test"):
            found = shutil.which(plain)
            if found is not None:
                (self._bin / plain).symlink_to(found)

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        known = {"PATH": str(self._bin), "CALLS": str(self.calls_file), "CLUSTERS": str(self.clusters)}
        return subprocess.run(
            [shutil.which("bash") or "bash", str(SCRIPTS / script)],
            env={**known, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.mark.parametrize("missing", TOOLS)
def test_a_tool_that_is_missing_is_named_and_nothing_is_made(tmp_path: Path, missing: str) -> None:
    machine = Machine(tmp_path, tuple(tool for tool in TOOLS if tool != missing))
    done = machine.run("up.sh")
    assert done.returncode == 2
    assert f"`{missing}` is not installed" in done.stderr
    assert machine.calls == []


@pytest.mark.parametrize(("mark", "says"), [("no-engine", "does not answer"), ("no-image", "make images")])
def test_what_is_needed_is_looked_for_first(tmp_path: Path, mark: str, says: str) -> None:
    machine = Machine(tmp_path)
    (tmp_path / f"calls.{mark}").touch()
    done = machine.run("up.sh")
    assert done.returncode == 2
    assert says in done.stderr
    assert not [call for call in machine.calls if call.startswith("kind")]


def test_a_cluster_is_made_filled_and_brought_up_to_date(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    done = machine.run("up.sh", TAG="9.9.9", REGISTRY="registry.example")
    assert done.returncode == 0, done.stderr
    assert "port-forward service/pilotage-console" in done.stdout
    loaded = [call.rpartition(" ")[2] for call in machine.calls if "load docker-image" in call]
    assert loaded == [
        f"registry.example/pilotage/{name}:9.9.9" for name in ("console", "serving", "components-python")
    ]
    (helm,) = [call for call in machine.calls if call.startswith("helm")]
    assert "upgrade --install pilotage" in helm
    assert "--set image.registry=registry.example --set image.tag=9.9.9" in helm
    key = "-n models create secret generic pilotage --from-literal=installation-key=key-of-the-platform"
    assert any(key in call for call in machine.calls), "models take the platform's key"
    order = [call.split()[:3] for call in machine.calls if call.startswith(("kind create", "helm"))]
    assert order[0] == ["kind", "create", "cluster"]
    again = machine.run("up.sh")
    assert again.returncode == 0
    assert sum(call.startswith("kind create") for call in machine.calls) == 1
    assert machine.run("down.sh").returncode == 0
    assert "kind delete cluster --name pilotage" in machine.calls
    assert "There is no kind cluster" in machine.run("down.sh").stdout


def test_a_step_that_fails_ends_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    helm = tmp_path / "bin" / "helm"
    helm.write_text("#!/bin/sh\nexit 1\n")
    done = machine.run("up.sh")
    assert done.returncode != 0
    assert "Next:" not in done.stdout


def test_its_values_are_in_order() -> None:
    values = rendering.values_file(SCRIPTS / "values.yaml")
    documents = rendering.render("pilotage", values, name="pilotage", namespace="pilotage")
    assert [problem for document in documents for problem in schemas.problems(document)] == []
    secrets = frozenset({"pilotage", "pilotage-passwords"})
    known = External({"Secret": secrets, "ConfigMap": frozenset({"kube-root-ca.crt"})})
    assert policies.check(documents, known) == []


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", ["up.sh", "down.sh"])
def test_scripts_please_shellcheck(script: str) -> None:
    done = subprocess.run(
        ["shellcheck", str(SCRIPTS / script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    assert os.access(SCRIPTS / script, os.X_OK)
