"""charts/pilotage: what its values do, and who reaches whom in each combination of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.charts import cases, policies, rendering, schemas
from tests.charts.manifests import Manifests, fits
from tests.charts.platforms import (
    CHART,
    EVERYTHING,
    MINIMAL,
    NAMESPACE,
    OWN,
    TRIAL,
    container,
    environment,
    over,
    render,
)
from tests.charts.rendering import Document

from pilotage.core import settings

CHOICES: dict[str, list[dict[str, Any]]] = {
    "database": [
        {
            "database": {"url": {"name": "pilotage-database"}},
            "mlflow": {"database": {"name": "mlflow-database"}},
        },
        {"postgresql": OWN},
    ],
    "mlflow": [
        {},
        {"mlflow": {"artifacts": {"url": "s3://models", "secret": "object-store"}, "replicas": 2}},
        {
            "mlflow": {"enabled": False, "database": {"name": ""}},
            "tracking": {"uri": "https://mlflow.example.org"},
        },
    ],
    "policies": [{"networkPolicy": {"denyOthers": False}}, {"networkPolicy": {"enabled": False}}],
    "metrics": [{"metrics": {"serviceMonitor": {"enabled": True}}}, {"metrics": {"enabled": False}}],
    "way": [{"ingress": {"enabled": True}}, {"gateway": {"enabled": True, "parents": [{"name": "public"}]}}],
    "runs": [{}, {"kubeflow": {"enabled": True, "namespace": "pipelines"}}],
    "more": [
        {"console": {"replicas": 1}, "test": {"enabled": False}},
        {
            "backup": {"enabled": True},
            "storage": {"url": "s3://windows"},
            "pilots": EVERYTHING["pilots"],
            "monitors": {"flight-delay": {}},
        },
    ],
}
"""Values that go with each other in any combination."""


def combinations() -> Iterator[tuple[dict[str, Any], ...]]:
    """All of them; each list is short."""
    yield from itertools.product(*CHOICES.values())


def test_every_combination_keeps_the_policies_and_the_shapes() -> None:
    seen = set()
    for chosen in combinations():
        values = over({"console": {"url": "https://pilotage.example.org"}}, *chosen)
        found = rendering.render(CHART, values, namespace=NAMESPACE)
        assert policies.check(found, cases.external(CHART)) == [], values
        for document in found:
            text = repr(document)
            if text not in seen:  # most objects are the same in many combinations
                seen.add(text)
                assert schemas.problems(document) == [], values
    assert len(list(combinations())) == 2 * 3 * 2 * 2 * 2 * 2 * 2


def test_consoles_wait_for_the_migration_and_change_no_tables() -> None:
    found = render(EVERYTHING)
    deployment = next(pod for pod in found.pods if pod.name == "Deployment/pilotage-console")
    job = next(pod for pod in found.pods if pod.kind == "Job")
    (first,) = deployment.spec["initContainers"]
    assert first["args"][:2] == ["migrate", "--check"]
    assert job.spec["containers"][0]["args"][0] == "migrate"
    assert "--check" not in job.spec["containers"][0]["args"]
    told = [environment(one) for one in (*deployment.containers, *job.containers)]
    assert {one["PILOTAGE_MIGRATE"] for one in told} == {"false"}
    assert {one["PILOTAGE_DATABASE_URL"] for one in told} == {"secret:pilotage-database/url"}


def migration(values: Mapping[str, Any]) -> Document:
    """The migration Job."""
    return render(values).of("Job")[0]


def test_a_job_is_made_anew_when_what_it_runs_changes_and_only_then() -> None:
    before = migration(MINIMAL)
    same = migration(over(MINIMAL, {"console": {"replicas": 3}, "ingress": {"enabled": True}}))
    assert same == before
    for change in (
        {"image": {"tag": "0.2.0"}},
        {"database": {"url": {"name": "pilotage-passwords"}}},
        {"commonLabels": {"team": "b"}},
        {"imagePullSecrets": ["registry"]},
    ):
        after = migration(over(MINIMAL, change))
        assert after["spec"] != before["spec"]
        assert after["metadata"]["name"] != before["metadata"]["name"], "a Job cannot be changed"
    assert "helm.sh/hook" not in before["metadata"]["annotations"], "kubectl apply would leave it out"


def test_argo_cd_applies_what_others_need_first() -> None:
    for values in (EVERYTHING, TRIAL):
        found = render(values)
        wave = {
            (one["kind"], one["metadata"]["name"]): int(
                one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0)
            )
            for one in found.documents
        }
        job = wave[next(key for key in wave if key[0] == "Job")]
        early = ("ServiceAccount", "NetworkPolicy", "StatefulSet")
        assert all(number < job for (kind, _), number in wave.items() if kind in early), wave
        assert all(number > job for (kind, _), number in wave.items() if kind in ("Deployment", "CronJob"))


def test_postgresqls_image_can_make_its_databases_as_a_user_without_a_name() -> None:
    """It does so by the socket, where `peer` would compare names; 18 refuses a disk at 17's place."""
    (pod,) = (one for one in render(TRIAL).pods if one.labels["app.kubernetes.io/component"] == "postgresql")
    (container,) = pod.spec["containers"]
    told = {one["name"]: one.get("value", "") for one in container["env"]}
    assert "--auth-local=scram-sha-256" in told["POSTGRES_INITDB_ARGS"].split()
    data = next(one["mountPath"] for one in container["volumeMounts"] if one["name"] == "data")
    assert told["PGDATA"].startswith(f"{data}/"), "initdb takes only an empty folder"
    assert not data.startswith("/var/lib/postgresql")
    script = (rendering.CHARTS / "pilotage/files/databases.sh").read_text(encoding="utf-8")
    assert "set -e" in script.splitlines(), "the entry point reads it in its own shell"


def test_no_claim_waits_for_a_pod_that_comes_later() -> None:
    """Many classes bind a claim when a pod comes; `helm --wait` and Argo CD wait for that."""
    waves = "argocd.argoproj.io/sync-wave"
    found = render(over(TRIAL, {"backup": {"enabled": True}}))
    claims = {
        one["metadata"]["name"]: one["metadata"].get("annotations", {}).get(waves, "0")
        for one in found.documents
        if one["kind"] == "PersistentVolumeClaim"
    }
    assert len(claims) == 2
    for one in found.documents:
        if one["kind"] in ("Deployment", "Job"):
            for volume in one["spec"]["template"]["spec"]["volumes"]:
                claim = volume.get("persistentVolumeClaim", {}).get("claimName")
                if claims.get(claim) == one["metadata"].get("annotations", {}).get(waves, "0"):
                    del claims[claim]
    assert claims == {}, "bound by nothing that runs at once in the same wave"


def reaches(manifests: Manifests, source: Mapping[str, str], target: str, port: str) -> bool:
    """Whether the policies let pods with labels `source` connect to those of component `target`."""
    pods = [pod for pod in manifests.pods if pod.labels.get("app.kubernetes.io/component") == target]
    (labels,) = {tuple(sorted(pod.labels.items())) for pod in pods if "pilotage.dev/pilot" not in pod.labels}
    return _allowed(manifests, "egress", source, dict(labels), port) and _allowed(
        manifests, "ingress", dict(labels), source, port
    )


def _allowed(
    manifests: Manifests, way: str, of: Mapping[str, str], other: Mapping[str, str], port: str
) -> bool:
    ours = [one for one in manifests.of("NetworkPolicy") if fits(one["spec"]["podSelector"], of)]
    assert ours, "no policy is about it"
    side = {"egress": "to", "ingress": "from"}[way]
    return any(
        any(part["port"] == port for part in rule["ports"])
        and any("podSelector" in peer and fits(peer["podSelector"], other) for peer in rule[side])
        for policy in ours
        for rule in policy["spec"].get(way) or []
        if all("namespaceSelector" not in peer for peer in rule[side])
    )


REACHED = {
    "postgresql": {"console", "migration", "mlflow", "backup"},
    "mlflow": {"console", "monitor", "test"},
    "console": {"monitor", "test"},
}
PORTS = {"postgresql": "postgresql", "mlflow": "http", "console": "http"}


def test_policies_let_in_whoever_needs_to_and_nobody_else() -> None:
    values = over(
        TRIAL,
        {
            "backup": {"enabled": True},
            "storage": {"url": "s3://windows"},
            "pilots": EVERYTHING["pilots"],
            "monitors": {"flight-delay": {}},
        },
    )
    found = render(values)
    components = {pod.labels["app.kubernetes.io/component"]: pod.labels for pod in found.pods}
    assert set(components) == {"console", "migration", "mlflow", "postgresql", "monitor", "backup", "test"}
    for target, port in PORTS.items():
        let_in = {name for name, labels in components.items() if reaches(found, labels, target, port)}
        assert let_in - {target} == REACHED[target], target


def test_metrics_are_read_by_prometheus_alone_and_lead_to_no_page() -> None:
    found = render(EVERYTHING)
    (policy,) = [one for one in found.of("NetworkPolicy") if one["metadata"]["name"] == "pilotage-console"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
    (peer,) = by_port["metrics"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    for document in found.of("Ingress"):
        ports = [
            path["backend"]["service"]["port"]
            for rule in document["spec"]["rules"]
            for path in rule["http"]["paths"]
        ]
        assert ports == [{"name": "http"}]
    service = found.named("Service", "pilotage-console")
    assert service is not None
    assert [port["name"] for port in service["spec"]["ports"]] == ["http"]


def test_a_token_of_kubernetes_is_there_only_where_it_is_used() -> None:
    def projected(values: Mapping[str, Any]) -> dict[str, list[str]]:
        return {
            pod.name: [
                source["serviceAccountToken"].get("audience", "kubernetes")
                for volume in pod.spec["volumes"]
                for source in volume.get("projected", {}).get("sources", [])
                if "serviceAccountToken" in source
            ]
            for pod in render(values).pods
        }

    assert all(tokens == [] for tokens in projected(MINIMAL).values())
    everything = projected(EVERYTHING)
    assert sorted(everything.pop("Deployment/pilotage-console")) == ["kubernetes", "pipelines.kubeflow.org"]
    assert all(tokens == [] for tokens in everything.values())
    assert render(MINIMAL).of("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") == []
    assert render(EVERYTHING).of("ClusterRole", "ClusterRoleBinding") == []


def test_mlflow_answers_to_the_names_that_it_is_asked_by() -> None:
    security = pytest.importorskip("mlflow.server.security_utils")
    found = render(MINIMAL)
    hosts = environment(container(found, "Deployment", "pilotage-mlflow"))[
        "MLFLOW_SERVER_ALLOWED_HOSTS"
    ].split(",")
    uri = environment(container(found, "Deployment", "pilotage-console"))["MLFLOW_TRACKING_URI"]
    for host in (
        uri.removeprefix("http://"),
        "pilotage-mlflow:5000",
        "pilotage-mlflow.pilotage:5000",
        "pilotage-mlflow.pilotage.svc.cluster.local:5000",
        "localhost:5000",
    ):
        assert security.is_allowed_host_header(hosts, host), host
    for host in (
        "evil.example",
        "pilotage-mlflow.other.svc:5000",
        "pilotage-mlflow.pilotage.svc.evil.example:81",
    ):
        assert not security.is_allowed_host_header(hosts, host), host


def test_secrets_are_named_in_values_and_nothing_else_is() -> None:
    told = {
        f"{pod.name} {name}": value
        for pod in render(EVERYTHING).pods
        for one in pod.containers
        for name, value in environment({"env": one.get("env", [])}).items()
    }
    assert told["Deployment/pilotage-console WAREHOUSE_URL"] == "secret:warehouse/url"
    assert told["Deployment/pilotage-console PILOTAGE_INSTALLATION_KEY"] == "secret:installation/key"
    assert told["Deployment/pilotage-mlflow MLFLOW_BACKEND_STORE_URI"] == "secret:mlflow-database/url"
    assert told["CronJob/pilotage-monitor-diamond-price PILOTAGE_TOKEN"] == "secret:pilotage-monitor/token"
    assert render(over(EVERYTHING, {"backup": {"enabled": False}})).of("Secret") == []


def test_pilots_are_mounted_file_by_file_as_the_console_takes_them_in() -> None:
    found = render(EVERYTHING)
    console = container(found, "Deployment", "pilotage-console")
    assert [word for word in console["args"] if word.startswith("/etc")] == [
        "/etc/pilotage/pilots/diamond-price",
        "/etc/pilotage/pilots/flight-delay",
    ]
    mounted = {one["mountPath"] for one in console["volumeMounts"] if "subPath" in one}
    assert mounted == {
        "/etc/pilotage/pilots/diamond-price/pilot.yaml",
        "/etc/pilotage/pilots/flight-delay/flights.py",
        "/etc/pilotage/pilots/flight-delay/pilot.yaml",
    }
    map_of = found.named("ConfigMap", "pilotage-pilot-flight-delay")
    assert map_of is not None
    assert map_of["data"]["flights.py"] == EVERYTHING["pilots"]["flight-delay"]["files"]["flights.py"]
    from pilotage.core import pilots

    for name in EVERYTHING["pilots"]:
        document = found.named("ConfigMap", f"pilotage-pilot-{name}")
        assert document is not None
        assert pilots.parse(document["data"]["pilot.yaml"]).pilot == name
    changed = over(EVERYTHING, {"pilots": {"flight-delay": {"files": {"flights.py": "x = 1\n"}}}})
    pods = [
        next(pod.owner for pod in render(values).pods if pod.name == "Deployment/pilotage-console")
        for values in (EVERYTHING, changed)
    ]
    assert pods[0]["spec"]["template"] != pods[1]["spec"]["template"], "a changed pilot starts consoles anew"


def test_every_variable_of_pilotage_is_a_setting_that_exists_and_takes_its_value() -> None:
    known = {f"PILOTAGE_{name.upper()}" for name in settings.Settings.model_fields}
    for case in cases.of():
        for pod in Manifests(rendering.render(case.chart, case.values)).pods:
            for one in pod.containers:
                told = environment({"env": one.get("env", [])})
                ours = {name: value for name, value in told.items() if name.startswith("PILOTAGE_")}
                assert set(ours) <= known, f"{case} {pod.name}"
                plain = {name: value for name, value in ours.items() if not value.startswith("secret:")}
                settings.load(
                    **{name.removeprefix("PILOTAGE_").lower(): value for name, value in plain.items()}
                )
