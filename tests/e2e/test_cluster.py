"""Both charts in a real cluster: installed, used, disturbed, upgraded, removed, one test after the other."""

from __future__ import annotations

import json
import secrets
import urllib.request
from typing import Any

import pytest
from tests.e2e import kubectls, manifests
from tests.e2e.installations import Installation
from tests.e2e.kubectls import KubectlFailed
from tests.e2e.manifests import ACCOUNTS, DENIED, PILOT, ROW, WATCHER

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]


def test_the_platform_answers(installation: Installation) -> None:
    with installation.platform.forward("service/pilotage-console", 8000) as address:
        assert _get(f"{address}/health/ready")["status"] == "ok"
    with (
        installation.platform.forward("service/pilotage-mlflow", 5000) as address,
        urllib.request.urlopen(f"{address}/health", timeout=30) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("account", ACCOUNTS)
def test_accounts_have_no_rights_at_all(installation: Installation, account: str) -> None:
    who = f"{installation.places.platform}:{account}"
    for place in (installation.places.platform, installation.places.models, "kube-system"):
        assert installation.kubectl.rights(who, place) - _everybodys(installation, place) == set()
        for verb, resource in DENIED:
            assert not installation.kubectl.can(who, verb, resource, place), (verb, resource, place)


def test_versions_are_trained_on_the_platform(installation: Installation) -> None:
    assert [installation.train(), installation.train()] == [1, 2]
    found = installation.console("models", PILOT)["versions"]
    assert sorted(item["version"] for item in found) == [1, 2]


def test_a_pinned_version_predicts(installation: Installation) -> None:
    installation.install_model(1)
    with installation.models.forward(f"service/{PILOT}", 80) as address:
        answer = _post(f"{address}/predict", {"rows": [ROW]})
    assert answer["version"] in (1, "1")
    assert len(answer["predictions"]) == 1


def test_the_models_account_has_no_rights_at_all(installation: Installation) -> None:
    who = f"{installation.places.models}:{PILOT}"
    place = installation.places.models
    assert installation.kubectl.rights(who, place) - _everybodys(installation, place) == set()
    for verb, resource in DENIED:
        assert not installation.kubectl.can(who, verb, resource, place), (verb, resource)


def test_a_new_version_takes_over_without_a_failed_request(installation: Installation) -> None:
    with installation.load(120) as outcome:
        installation.install_model(2)
    assert outcome["failed"] == 0, outcome
    assert set(outcome["versions"]) == {"1", "2"}, outcome


def test_a_drain_of_the_node_fails_no_request(installation: Installation) -> None:
    before = {pod["metadata"]["uid"] for pod in installation.pods()}
    with installation.load(120) as outcome:
        refused = installation.drain()
        _wait_for_servers(installation, before)
    assert outcome["failed"] == 0, outcome
    assert refused > 0, "the disruption budget held the second pod until the first was replaced"


def test_servers_that_are_killed_come_back(installation: Installation) -> None:
    victim = installation.pods()[0]["metadata"]
    with installation.load(90) as outcome:
        kill = ("--grace-period=0", "--force", "--wait=false")
        installation.models.run("delete", "pod", victim["name"], *kill)
        _wait_for_servers(installation, {victim["uid"]})
    assert outcome["sent"] > 0
    assert outcome["failed"] / outcome["sent"] < 0.05, outcome


def test_a_console_that_is_killed_is_followed_by_the_other(installation: Installation) -> None:
    pods = installation.platform.items("pods", "app.kubernetes.io/component=console")
    name = pods[0]["metadata"]["name"]
    installation.platform.run("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
    installation.wait(
        "two consoles",
        lambda: kubectls.is_ready(installation.platform.get("deployment", "pilotage-console")),
    )
    assert len(installation.console("models", PILOT)["versions"]) == 2


def test_the_monitor_looks_once_and_tells_the_console(installation: Installation) -> None:
    token = installation.give_token()
    name = f"look-{secrets.token_hex(3)}"
    installation.models.run("create", "job", name, f"--from=cronjob/{PILOT}-monitor")
    installation.wait("the monitor", lambda: kubectls.has_ended(installation.models.get("job", name)))
    told = kubectls.document_in(installation.models.run("logs", f"job/{name}"), "reports")
    assert told["pilot"] == PILOT
    assert told["reports"], "windows of the load before were closed"
    with installation.platform.forward("service/pilotage-console", 8000) as address:
        windows = _get(f"{address}/api/v1/pilots/{PILOT}/windows", token)["items"]
    assert {(item["version"], item["rows"]) for item in windows} >= {
        (item["version"], item["rows"]) for item in told["reports"]
    }


def test_what_no_policy_allows_does_not_get_through(installation: Installation) -> None:
    """A pod that no NetworkPolicy names asks the model: where policies count it gets no answer."""
    documents = manifests.load(installation.environment, installation.places, 10, workers=1)
    for document in documents:
        document["metadata"] = {**document["metadata"], "name": "stranger", "labels": {}}
    pod = documents[1]["spec"]["template"]
    pod["metadata"] = {"labels": {"pilotage.dev/e2e": "stranger"}}
    pod["spec"]["volumes"][0]["configMap"]["name"] = "stranger"
    installation.models.apply(documents)
    installation.wait("the stranger", lambda: kubectls.has_ended(installation.models.get("job", "stranger")))
    outcome = json.loads(installation.models.run("logs", "job/stranger").strip().splitlines()[-1])
    if outcome["versions"]:
        pytest.skip(
            "this cluster's network does not enforce NetworkPolicy: whoever is inside reaches the model"
        )
    assert outcome["failed"] == outcome["sent"] > 0


def test_an_upgrade_keeps_what_there_is_and_gives_the_console_its_eyes(installation: Installation) -> None:
    place = installation.places.models
    releases = {"to": "https://git.example.org/releases.git", "watch": {"enabled": True, "namespace": place}}
    installation.install_platform(releases=releases)
    assert len(installation.console("models", PILOT)["versions"]) == 2
    who = f"{installation.places.platform}:pilotage-console"
    assert installation.kubectl.rights(who, place) - _everybodys(installation, place) == WATCHER
    for verb, resource in DENIED:
        assert not installation.kubectl.can(who, verb, resource, place), (verb, resource)
    assert not installation.kubectl.can(who, "list", "pods", "kube-system")


def test_pods_beyond_restricted_are_refused(installation: Installation) -> None:
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": installation.places.models},
        "spec": {"containers": [{"name": "root", "image": installation.environment.reference("serving")}]},
    }
    with pytest.raises(KubectlFailed, match="PodSecurity"):
        installation.models.apply([pod])


def test_all_of_it_can_be_removed(installation: Installation) -> None:
    if installation.environment.keep:
        pytest.skip("PILOTAGE_E2E_KEEP is set")
    installation.remove()
    names = {item["metadata"]["name"] for item in installation.kubectl.items("namespaces")}
    assert not names & {installation.places.platform, installation.places.models}
    left = installation.kubectl.items(
        "clusterroles,clusterrolebindings", "app.kubernetes.io/part-of=pilotage"
    )
    assert left == []


def _wait_for_servers(installation: Installation, before: set[str], count: int = 2) -> None:
    """Wait until `count` servers are ready and none is one of `before`."""

    def holds() -> bool:
        pods = installation.pods()
        ready = [pod for pod in pods if kubectls.is_pod_ready(pod)]
        return len(ready) == count and not before & {pod["metadata"]["uid"] for pod in pods}

    installation.wait("new servers", holds)


def _everybodys(installation: Installation, place: str) -> set[tuple[str, str]]:
    """What every account of the cluster may do, Pilotage's or not: that of one that is bound to nothing."""
    return installation.kubectl.rights(f"{place}:nobody-at-all", place)


def _get(url: str, token: str = "") -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _post(url: str, body: object) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
