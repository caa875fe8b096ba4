"""A RayJob as KubeRay takes it, and its way through an API server that answers as Kubernetes does."""

from __future__ import annotations

import json
import os
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from pilotage.components.distributed import handovers
from pilotage.components.distributed.handovers import Request
from pilotage.core import errors, settings
from pilotage.core.artifacts import Report, Snapshot, TrainedModel
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.pipelines.clusters.rays import RayJobs
from pilotage.pipelines.definitions import needs, rayjobs, training

JOB_FIELDS = {
    "entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec",
}  # fmt: skip
CLUSTER_FIELDS = {"rayVersion", "authOptions", "enableInTreeAutoscaling", "headGroupSpec", "workerGroupSpecs"}
WORKER_FIELDS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
SPEC = {
    "version": 1,
    "pilot": "late-trains",
    "goal": {"metric": "roc_auc"},
    "data": {"source": "s3://data/rows.parquet", "target": "late"},
    "train": {
        "estimator": "xgboost",
        "resources": {"workers": 4, "cpu": 2, "memory": "8Gi", "memory_limit": "10Gi", "gpu": 1},
    },
    "cluster": {
        "node_selector": {"pool": "training"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "secrets": [
            {"secret_name": "warehouse", "env": {"url": "WAREHOUSE_URL"}, "mount_path": "/warehouse"}
        ],
        "volumes": [{"pvc_name": "lake", "mount_path": "/lake", "sub_path": "rows"}],
        "image_pull_secrets": ["registry"],
    },
}


def installation(**changes: Any) -> needs.Installation:
    stated = {
        "ray_address": "kuberay", "ray_service_account": "ray-workers", "storage_url": "s3://pilotage",
        "mlflow_tracking_uri": "http://mlflow:5000", "components_secret": "pilotage-steps", "home": "/home/x",
    }  # fmt: skip
    return needs.of(settings.load(**{**stated, **changes}))


@pytest.fixture
def spec() -> PilotSpec:
    return PilotSpec.model_validate(SPEC)


def test_the_pipeline_of_a_pilot_with_workers_is_the_one_that_is_committed(spec, repository):
    golden = repository / "pipelines" / "compiled" / "training-kuberay.yaml"
    made = training.documents(training.pipeline(spec, installation()), spec, "bundle:0")
    if os.environ.get("REGENERATE"):
        golden.write_text(training.as_yaml(*made), encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == training.as_yaml(*made), "review, and run with REGENERATE=1"
    text = made[0]["root"]["dag"]["tasks"]["train"]["inputs"]["parameters"]["rayjob"]["runtimeValue"][
        "constant"
    ]
    assert json.loads(text) == rayjobs.manifest(spec, installation())
    assert len(yaml.safe_dump(made[0])) < 100_000


def test_a_rayjob_has_the_fields_that_kuberay_knows_and_pods_that_kubernetes_takes(spec):
    job = rayjobs.manifest(spec, installation())
    assert (job["apiVersion"], job["kind"], set(job["spec"])) == ("ray.io/v1", "RayJob", JOB_FIELDS)
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert (set(cluster), set(workers)) == (CLUSTER_FIELDS, WORKER_FIELDS)
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"] == 4
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
        kubernetes_validate.validate(pod, "1.33", strict=True)
        _require_restricted(group["template"]["spec"])


def _require_restricted(pod: dict[str, Any]) -> None:
    """What PodSecurity `restricted` asks for, and a root that is read-only and no token."""
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "ray-workers"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
    }  # fmt: skip
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert not any("value" in item and "SECRET" in item["name"] for item in container["env"])


def test_only_workers_get_the_accelerators_and_each_what_resources_say(spec):
    cluster = rayjobs.manifest(spec, installation())["spec"]["rayClusterSpec"]
    found = [
        group["template"]["spec"]["containers"][0]["resources"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    ]
    assert found[0] == {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "10Gi"}}
    offered = cluster["workerGroupSpecs"][0]["rayStartParams"]
    assert offered == {"num-cpus": "2", "num-gpus": "1", "memory": str(8 << 30)}
    assert found[1]["limits"] == {"memory": "10Gi", "nvidia.com/gpu": "1"}


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("", {"cpu": "8", "memory": "32768Mi", "memory_limit": "40960Mi", "gpu": 4}),
        ("ray.example:6379", {"cpu": "2", "memory": "8Gi", "memory_limit": "10Gi", "gpu": 0}),
        ("kuberay", {"cpu": "100m", "memory": "512Mi", "memory_limit": None, "gpu": 0}),
    ],
    ids=["all in the step's pod", "on a cluster", "by KubeRay"],
)
def test_the_steps_pod_asks_for_the_workers_that_are_in_it(spec, address, wanted):
    found = needs._of_pod("train", spec.train.resources, address)
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_one_worker_changes_nothing():
    one = PilotSpec.model_validate({**SPEC, "train": {"estimator": "xgboost"}})
    plain = training.documents(training.pipeline(one, installation()), one)
    assert "rayjob" not in training.as_yaml(*plain)


class Server:
    """Kubernetes' `CustomObjectsApi` for RayJobs, whose statuses are given."""

    def __init__(self, *statuses: dict[str, Any], there: bool = False, refusal: int = 0) -> None:
        self.statuses, self.there, self.refusal = list(statuses), there, refusal
        self.made: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def create_namespaced_custom_object(self, group, version, namespace, plural, body):
        self.calls.append("create")
        if self.refusal:
            raise ApiException(status=self.refusal, reason="no")
        if self.there:
            raise ApiException(status=409)
        self.there = True
        self.made.append(body)

    def get_namespaced_custom_object(self, group, version, namespace, plural, name):
        assert (group, version, namespace, plural, name) == ("ray.io", "v1", "runs", "rayjobs", "train-r1")
        if not self.there:
            raise ApiException(status=404)
        return {"status": self.statuses.pop(0)}

    def delete_namespaced_custom_object(self, group, version, namespace, plural, name):
        self.calls.append("delete")
        self.there = False


RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
DONE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}


def carried_out(server: Server, job: dict[str, Any]) -> None:
    RayJobs(server, "runs", sleep=lambda seconds: None).carry_out(job, "train-r1", "handovers/r1/train")


def test_a_rayjob_is_created_followed_and_removed(spec):
    server, job = Server({}, RUNNING, DONE), rayjobs.manifest(spec, installation())
    carried_out(server, job)
    assert server.calls == ["create", "delete"]
    (made,) = server.made
    assert made["metadata"]["name"] == "train-r1"
    assert made["spec"]["entrypoint"] == "python -m pilotage.components.distributed handovers/r1/train"
    assert "name" not in job["metadata"]


@pytest.mark.parametrize(
    ("statuses", "calls"),
    [
        ([RUNNING, RUNNING, DONE], ["create", "delete"]),
        ([DONE, DONE], ["create", "delete", "create", "delete"]),
    ],
    ids=["one that goes on is waited for", "one that ended is replaced"],
)
def test_a_retry_finds_the_rayjob_of_the_attempt_before(spec, statuses, calls):
    server = Server(*statuses, there=True)
    carried_out(server, rayjobs.manifest(spec, installation()))
    assert server.calls == calls


@pytest.mark.parametrize(
    ("server", "kind", "words"),
    [
        (Server(refusal=403), errors.Forbidden, "may not `create` rayjobs"),
        (Server(refusal=404), errors.SettingsError, "knows no RayJobs"),
        (Server({"jobDeploymentStatus": "Failed", "message": "no nodes"}), errors.StepFailed, "no nodes"),
    ],
)
def test_what_kubernetes_refuses_is_told_with_a_way_out(spec, server, kind, words):
    with pytest.raises(kind, match=words):
        carried_out(server, rayjobs.manifest(spec, installation()))
    assert not server.there


def handed_over(tmp_path, folder: str) -> tuple[settings.Settings, str]:
    found = settings.load()
    for file in (Snapshot.FILE, Report.FILE):
        (tmp_path / file).write_text("{}")
    request = Request.of(json.dumps(SPEC), folder, "r1", snapshot=tmp_path, report=tmp_path)
    return found, handovers.give(found, request)


def test_what_the_head_fails_with_the_step_ends_with(tmp_path):
    found, name = handed_over(tmp_path, "bundle:" + "0" * 64)
    code = handovers.carry_out(found, name)
    assert code == errors.ExitCode.WRONG_INPUT
    with pytest.raises(SystemExit) as ended:
        handovers.take(found, name, tmp_path / "out")
    assert ended.value.code == code


def test_what_the_head_made_is_the_steps_output(tmp_path):
    found, name = handed_over(tmp_path, "bundle:0")
    result = {"exit_code": 0, "metadata": {"digest": "d"}, "trained": "{}"}
    Storage(found.storage).write(f"{name}/result.json", json.dumps(result).encode())
    assert handovers.take(found, name, tmp_path / "out") == {"digest": "d"}
    assert (tmp_path / "out" / TrainedModel.FILE).read_text() == "{}"


def test_a_head_that_was_killed_is_a_failure_that_a_retry_may_mend(tmp_path):
    found, name = handed_over(tmp_path, "bundle:0")
    with pytest.raises(errors.StepFailed, match="without a result"):
        handovers.take(found, name, tmp_path / "out")
