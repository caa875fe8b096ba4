"""What a cluster runs of a pilot, asked of an API server over HTTP by the real client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.clusters import Answer, FakeCluster, deployment, labels, rollout, serving

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines.clusters import connections, readings
from pilotage.pipelines.clusters.workloads import Kind, Phase, Workload

PILOT = "flights"


@pytest.fixture
def fake() -> Iterator[FakeCluster]:
    with serving() as cluster:
        yield cluster


@pytest.fixture
def installation(fake: FakeCluster, tmp_path: Path) -> Settings:
    return settings.load(cluster="kubeconfig", cluster_kubeconfig_file=fake.kubeconfig(tmp_path))


def certificate() -> str:
    """One of an authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def read(installation: Settings) -> Workload | None:
    cluster = connections.connect(installation)
    assert cluster is not None
    return readings.read(cluster, PILOT)


def test_without_a_cluster_there_is_nothing_to_read(installation: Settings) -> None:
    assert connections.connect(settings.load()) is None


def test_of_a_pilot_that_is_not_there_nothing_runs(installation: Settings, fake: FakeCluster) -> None:
    fake.put("deployments.apps", "models", deployment("another", 1))
    fake.put("deployments.apps", "elsewhere", deployment(PILOT, 1))
    assert read(installation) is None
    assert fake.wrong == []


@pytest.mark.parametrize(
    ("item", "phase", "says"),
    [
        pytest.param(deployment(PILOT, 7), Phase.HEALTHY, "", id="complete"),
        pytest.param(
            deployment(PILOT, 7, generation=3, observed=2), Phase.PROGRESSING, "has not seen", id="unseen"
        ),
        pytest.param(deployment(PILOT, 7, updated=1), Phase.PROGRESSING, "new pods are made", id="partly"),
        pytest.param(deployment(PILOT, 7, total=3), Phase.PROGRESSING, "1 pods of before", id="old-pods"),
        pytest.param(deployment(PILOT, 7, ready=1, total=2), Phase.PROGRESSING, "not ready", id="unready"),
        pytest.param(deployment(PILOT, 7, paused=True), Phase.PAUSED, "somebody paused it", id="paused"),
        pytest.param(
            deployment(PILOT, 7, ready=0, progressing="ProgressDeadlineExceeded", message="timed out"),
            Phase.FAILED,
            "timed out",
            id="deadline",
        ),
    ],
)
def test_a_deployment_is_judged_as_kubectl_does(
    installation: Settings, fake: FakeCluster, item: dict[str, Any], phase: Phase, says: str
) -> None:
    fake.put("deployments.apps", "models", item)
    found = read(installation)
    assert found is not None
    assert (found.kind, found.version, found.phase) == (Kind.DEPLOYMENT, 7, phase)
    assert says in found.message


@pytest.mark.parametrize(
    ("item", "phase", "says"),
    [
        pytest.param(rollout(PILOT, 7), Phase.HEALTHY, "", id="healthy"),
        pytest.param(rollout(PILOT, 7, stable=False), Phase.PROGRESSING, "", id="healthy-of-before"),
        pytest.param(
            rollout(PILOT, 7, generation=9, observed="8"), Phase.PROGRESSING, "not seen", id="unseen"
        ),
        pytest.param(
            rollout(
                PILOT,
                7,
                phase="Paused",
                stable=False,
                weight=10,
                step=1,
                pauseConditions=[{"reason": "CanaryPauseStep"}],
            ),
            Phase.PAUSED,
            "CanaryPauseStep",
            id="paused",
        ),
        pytest.param(
            rollout(
                PILOT,
                7,
                phase="Degraded",
                stable=False,
                abort=True,
                message="RolloutAborted",
                canary={
                    "currentStepAnalysisRunStatus": {
                        "name": "run-1",
                        "status": "Failed",
                        "message": "p99 beyond 50 ms",
                    }
                },
            ),
            Phase.FAILED,
            "p99 beyond 50 ms",
            id="aborted",
        ),
        pytest.param(
            rollout(PILOT, 7, phase="Degraded", message="ProgressDeadlineExceeded"),
            Phase.FAILED,
            "ProgressDeadlineExceeded",
            id="degraded",
        ),
    ],
)
def test_a_rollout_is_judged_as_its_plugin_does(
    installation: Settings, fake: FakeCluster, item: dict[str, Any], phase: Phase, says: str
) -> None:
    fake.put("rollouts.argoproj.io", "models", item)
    fake.put("deployments.apps", "models", deployment(PILOT, 1))
    found = read(installation)
    assert found is not None
    assert (found.kind, found.version, found.phase) == (Kind.ROLLOUT, 7, phase)
    assert says in found.message


def inference_service(version: int, *, ready: str = "True", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": PILOT, "namespace": "models", "generation": 2, "labels": labels(PILOT, version)},
        "spec": {"predictor": {"labels": labels(PILOT, version)}},
        "status": {
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": ready, "message": "said KServe"}],
            **status,
        },
    }


def test_an_inference_service_is_live_when_its_deployment_is_too(
    installation: Settings, fake: FakeCluster
) -> None:
    fake.put("inferenceservices.serving.kserve.io", "models", inference_service(7))
    fake.put("deployments.apps", "models", deployment(PILOT, 6))
    found = read(installation)
    assert found is not None
    assert (found.kind, found.version, found.phase) == (Kind.INFERENCE_SERVICE, 7, Phase.PROGRESSING)
    fake.put("deployments.apps", "models", deployment(PILOT, 7))
    found = read(installation)
    assert found is not None
    assert (found.phase, found.desired, found.ready) == (Phase.HEALTHY, 2, 2)


def test_an_inference_service_fails_where_its_model_does_not_load(
    installation: Settings, fake: FakeCluster
) -> None:
    failed = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": {"message": "no such model"}}
    fake.put(
        "inferenceservices.serving.kserve.io",
        "models",
        inference_service(7, ready="False", modelStatus=failed),
    )
    found = read(installation)
    assert found is not None
    assert (found.phase, found.message) == (Phase.FAILED, "no such model")


def test_what_pods_say_is_told_where_it_may_be_seen(installation: Settings, fake: FakeCluster) -> None:
    fake.put("deployments.apps", "models", deployment(PILOT, 7, ready=0, total=2))
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = {
        "metadata": {"name": "one", "labels": labels(PILOT, 7)},
        "status": {"containerStatuses": [{"state": waiting}]},
    }
    fake.put("pods", "models", pod)
    found = read(installation)
    assert found is not None
    assert "ImagePullBackOff: no such image" in found.told
    fake.allowed.remove("pods")
    found = read(installation)
    assert found is not None
    assert found.phase is Phase.PROGRESSING
    assert "ImagePullBackOff" not in found.told


def test_a_missing_permission_is_named(installation: Settings, fake: FakeCluster) -> None:
    fake.allowed.remove("rollouts.argoproj.io")
    with pytest.raises(errors.Forbidden) as caught:
        read(installation)
    assert caught.value.details == {
        "verb": "list",
        "resource": "rollouts.argoproj.io",
        "namespace": "models",
    }
    assert 'cannot list resource "rollouts"' in caught.value.message
    assert '`list` on `rollouts` of API group "argoproj.io"' in caught.value.remedy


def test_kinds_that_the_cluster_does_not_know_are_not_there(
    installation: Settings, fake: FakeCluster
) -> None:
    fake.known = {"deployments.apps", "pods"}
    fake.put("deployments.apps", "models", deployment(PILOT, 7))
    found = read(installation)
    assert found is not None
    assert found.phase is Phase.HEALTHY


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(Answer(410, "The resourceVersion is too old"), "answered 410", id="gone"),
        pytest.param(Answer(429, "too many requests"), "answered 429", id="throttled"),
        pytest.param(Answer(500, "etcdserver: leader changed"), "leader changed", id="broken"),
        pytest.param(Answer(200, body=b"<html>a proxy</html>"), "no list of", id="no-api-server"),
        pytest.param(Answer(200, body=b'{"items": 3}'), "no list of", id="no-list"),
    ],
)
def test_what_may_pass_is_unavailable(
    installation: Settings, fake: FakeCluster, answer: Answer, says: str
) -> None:
    fake.answers.append(answer)
    with pytest.raises(errors.Unavailable, match=says):
        read(installation)
    assert read(installation) is None


def test_an_api_server_that_is_silent_is_given_up(
    installation: Settings, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_READ_SECONDS", 0.2)
    fake.answers.append(Answer(200, seconds=1.5, times=9))
    with pytest.raises(errors.Unavailable, match="does not answer"):
        read(installation)


def test_an_api_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    gone = FakeCluster(url="http://127.0.0.1:9")
    installation = settings.load(cluster="kubeconfig", cluster_kubeconfig_file=gone.kubeconfig(tmp_path))
    with pytest.raises(errors.Unavailable, match="does not answer"):
        read(installation)


def test_a_token_that_ran_out_is_read_again(
    installation: Settings, fake: FakeCluster, tmp_path: Path
) -> None:
    cluster = connections.connect(installation)
    assert cluster is not None
    assert readings.read(cluster, PILOT) is None
    fake.token = "the-next-one"
    with pytest.raises(errors.Unavailable, match="does not know this account"):
        readings.read(cluster, PILOT)
    fake.kubeconfig(tmp_path)
    assert readings.read(cluster, PILOT) is None


def test_a_pod_without_an_account_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(errors.SettingsError, match="in no pod with an account"):
        connections.connect(settings.load(cluster="inside"))


def test_a_pod_takes_its_account_and_its_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
    for name, text in (("token", "of-the-pod"), ("ca.crt", certificate()), ("namespace", "models\n")):
        (tmp_path / name).write_text(text)
    cluster = connections.inside(account=tmp_path)
    assert cluster.namespace == "models"
    client = cluster._build()
    assert client.configuration.host == "https://127.0.0.1:9"
    assert client.configuration.get_api_key_with_prefix("authorization") == "bearer of-the-pod"
    assert connections.inside("other", account=tmp_path).namespace == "other"


@pytest.mark.parametrize("text", ["", "[]", "apiVersion: v1\nkind: Config\n", "{"])
def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(errors.SettingsError, match="cannot be used"):
        connections.connect(settings.load(cluster="kubeconfig", cluster_kubeconfig_file=file))


def test_a_context_that_is_not_there_is_refused(fake: FakeCluster, tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError, match="cannot be used"):
        connections.connect(
            settings.load(
                cluster="kubeconfig",
                cluster_kubeconfig_file=fake.kubeconfig(tmp_path),
                cluster_context="another",
            )
        )
