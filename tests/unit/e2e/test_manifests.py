"""What the tests on a cluster install, checked as everything that the charts render is."""

from __future__ import annotations

import dataclasses
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.charts import policies, schemas
from tests.charts.manifests import External
from tests.e2e import loads, manifests
from tests.e2e.environments import Environment
from tests.e2e.manifests import PILOT, Places

from pilotage.core.specs import PilotSpec

ENVIRONMENT = Environment()
PLACES = Places.of(ENVIRONMENT)
SECRETS = frozenset({"pilotage", "pilotage-passwords", "pilotage-monitor"})
"""That an installation makes before."""
_UNITS = {"Mi": 2**20, "Gi": 2**30, "Ki": 2**10}


def everything(environment: Environment = ENVIRONMENT) -> list[dict[str, Any]]:
    values = manifests.platform_values(environment, PLACES)
    model = manifests.model_values(environment, PLACES, 1, "one")
    return [
        *manifests.render("pilotage", values, PLACES.platform),
        *manifests.render("model", model, PLACES.models),
        *manifests.load(environment, PLACES, 60),
        manifests.namespace(PLACES.models),
    ]


def test_all_of_it_has_the_shape_that_kubernetes_takes() -> None:
    assert [problem for document in everything() for problem in schemas.problems(document)] == []


@pytest.mark.parametrize("where", [PLACES.platform, PLACES.models])
def test_our_policies_hold_for_it(where: str) -> None:
    found = [item for item in everything() if item["metadata"].get("namespace") == where]
    known = External({"Secret": SECRETS, "ConfigMap": frozenset({"kube-root-ca.crt"})})
    charts = [item for item in found if item["metadata"]["name"] != "load"]
    assert policies.check(charts, known) == []


def test_an_upgrade_that_watches_releases_is_in_order_too() -> None:
    watch = {"enabled": True, "namespace": PLACES.models}
    releases = {"to": "https://git.example.org/releases.git", "watch": watch}
    values = manifests.platform_values(ENVIRONMENT, PLACES, releases=releases)
    found = manifests.render("pilotage", values, PLACES.platform)
    assert [problem for document in found for problem in schemas.problems(document)] == []
    (role,) = [item for item in found if item["kind"] == "Role"]
    assert role["metadata"]["namespace"] == PLACES.models
    allowed = {
        (f"{resource}.{group}" if group else resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == manifests.WATCHER


def test_accounts_are_those_whose_rights_are_asked_for() -> None:
    accounts = {item["metadata"]["name"] for item in everything() if item["kind"] == "ServiceAccount"}
    assert accounts == {*manifests.ACCOUNTS, PILOT}


def test_each_object_is_in_a_namespace_of_the_run() -> None:
    spaces = {item["metadata"].get("namespace") for item in everything() if item["kind"] != "Namespace"}
    assert spaces == {PLACES.platform, PLACES.models}
    kinds = {item["kind"] for item in everything()}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "Ingress", "HTTPRoute", "ServiceMonitor"}
    assert not [item for item in everything() if item.get("spec", {}).get("type") == "LoadBalancer"]


def test_it_fits_two_cores_and_four_gigabytes() -> None:
    cpu, memory = Decimal(0), Decimal(0)
    for document in everything():
        for pod in schemas.pod_templates(document):
            spec = pod.get("spec", pod)
            count = document["spec"].get("replicas", 1) if document["kind"] != "CronJob" else 1
            for container in spec.get("containers", ()):
                asked = container["resources"]["requests"]
                cpu += count * _cores(asked["cpu"])
                memory += count * _bytes(asked["memory"])
    assert cpu <= 2, cpu
    assert memory <= 4 * 2**30, memory / 2**20


def test_no_disk_is_shared_by_nodes() -> None:
    claims = [item for item in everything() if item["kind"] == "PersistentVolumeClaim"]
    assert {mode for item in claims for mode in item["spec"]["accessModes"]} == {"ReadWriteOnce"}


def test_the_pilot_is_one_that_pilotage_takes() -> None:
    spec = PilotSpec.model_validate(manifests.SPEC)
    assert spec.pilot == PILOT
    assert manifests.table().splitlines()[0] == "id,distance,carrier,late"
    assert set(manifests.ROW) == {"distance", "carrier"}


def test_images_are_pulled_with_the_secret_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/dockerconfigjson",
                "metadata": {"name": "any"},
                "data": {".dockerconfigjson": "e30="},
            }
        )
    )
    environment = dataclasses.replace(ENVIRONMENT, pull_secret=file, registry="registry.example:5000")
    (held,) = manifests.pull_secret(environment, "models")
    assert held["metadata"] == {"name": "pilotage-e2e-pull", "namespace": "models"}
    for document in everything(environment):
        for pod in schemas.pod_templates(document):
            spec = pod.get("spec", pod)
            assert spec["imagePullSecrets"] == [{"name": "pilotage-e2e-pull"}]


class Server(http.server.BaseHTTPRequestHandler):
    """A model server that answers by two versions in turn, and refuses one request in five."""

    protocol_version = "HTTP/1.1"
    count = 0

    def do_POST(self) -> None:
        Server.count += 1
        self.rfile.read(int(self.headers["content-length"]))
        failed = Server.count % 5 == 0
        body = json.dumps({"version": 1 + Server.count % 2}).encode()
        self.send_response(503 if failed else 200)
        self.send_header("content-length", str(len(body)))
        if Server.count % 3 == 0:
            self.close_connection = True  # without a word, as a server that is stopped may
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[str]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}/predict"
    made.shutdown()
    made.server_close()
    thread.join()


def test_the_caller_counts_what_became_of_its_requests(server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(manifests.LOAD), server, "0.5", "2"],
        env={"BODY": '{"rows": []}'},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["sent"] == found["failed"] + sum(found["versions"].values())
    assert set(found["versions"]) == {"1", "2"}
    assert found["failed"] > 0
    assert next(iter(found["reasons"])).startswith("503: ")


def test_the_caller_counts_a_server_that_is_not_there() -> None:
    version, reason = loads.Client("http://127.0.0.1:9/predict", keeps=True).ask(b"{}")
    assert version is None
    assert "Refused" in reason


def _cores(text: str) -> Decimal:
    return Decimal(text.removesuffix("m")) / 1000 if text.endswith("m") else Decimal(text)


def _bytes(text: str) -> Decimal:
    unit = _UNITS.get(text[-2:])
    return Decimal(text[:-2]) * unit if unit else Decimal(text)
