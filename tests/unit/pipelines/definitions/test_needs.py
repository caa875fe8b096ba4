"""What a pilot needs on a cluster arrives in the compiled file as Kubernetes means it, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from pilotage.core import pilots, settings
from pilotage.pipelines.definitions import needs, scoring, training

EVERYTHING = """\
version: 1
pilot: everything
data: {source: s3://lake/rows.parquet, target: y}
goal: {metric: roc_auc}
train: {resources: {cpu: 4, memory: 8Gi, memory_limit: 12Gi, gpu: 2, gpu_type: nvidia.com/gpu}}
cluster:
  image: registry.example/components-python:mine
  image_pull_policy: Always
  image_pull_secrets: [registry]
  node_selector: {zone: a}
  tolerations: [{key: batch, operator: Exists}]
  secrets:
    - {secret_name: warehouse, env: {url: WAREHOUSE_URL}}
    - {secret_name: certificates, mount_path: /etc/warehouse, optional: true}
  volumes: [{pvc_name: lake, mount_path: /lake, sub_path: flights}]
  steps:
    ingest: {resources: {cpu: 500m, memory: 2Gi, cpu_limit: 1}}
    train:
      node_selector: {accelerator: a100}
      tolerations: [{key: gpu, value: "true", effect: NoExecute, toleration_seconds: 60}]
"""


def test_the_committed_file_of_a_pilot_with_every_need_is_current(repository: Path, tmp_path: Path):
    golden, made = repository / "pipelines" / "compiled" / "cluster.yaml", tmp_path / "made.yaml"
    installation = needs.of(
        settings.load(
            storage_url="s3://pilotage",
            mlflow_tracking_uri="http://mlflow:5000",
            components_secret="pilotage-components",
        )
    )
    training.write(made, pilots.parse(EVERYTHING), "bundle", installation)
    if os.environ.get("REGENERATE") == "1":
        golden.write_text(made.read_text())
    assert golden.read_text() == made.read_text(), "run this test with REGENERATE=1 and review the change"
    ir, platform = yaml.safe_load_all(golden.read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    train, ingest = executors["exec-train"], executors["exec-ingest"]
    assert train["nodeSelector"]["labels"] == {"zone": "a", "accelerator": "a100"}
    assert [item["key"] for item in train["tolerations"]] == ["batch", "gpu"]
    assert [item["key"] for item in ingest["tolerations"]] == ["batch"]
    assert {item["secretName"] for item in train["secretAsEnv"]} == {"warehouse", "pilotage-components"}
    assert train["securityContext"] == {"runAsGroup": "10001", "runAsNonRoot": True, "runAsUser": "10001"}
    container = ir["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["image"] == "registry.example/components-python:mine"
    assert container["resources"]["accelerator"]["resourceCount"] == "2"
    assert container["resources"]["resourceMemoryRequest"] == "8Gi"
    assert container["resources"]["resourceMemoryLimit"] == "12Gi"
    assert "resources" not in ir["deploymentSpec"]["executors"]["exec-register"]["container"]


def test_kfps_own_validation_takes_every_example(repository: Path, tmp_path: Path):
    installation = needs.of(settings.load())
    examples = sorted((repository / "pilots").glob("*/pilot.yaml"))
    assert len(examples) >= 3
    for example in examples:
        pilot = pilots.load(example)
        for module in (training, scoring):
            file = tmp_path / f"{pilot.name}.yaml"
            module.write(file, pilot.spec, pilot.folder, installation)
            loaded = components.load_component_from_file(str(file))
            documents = list(yaml.safe_load_all(file.read_text()))
            message = pipeline_spec_pb2.PipelineSpec()
            json_format.ParseDict(documents[0], message, ignore_unknown_fields=False)
            assert loaded.pipeline_spec.root == message.root
            platform = pipeline_spec_pb2.PlatformSpec()
            json_format.ParseDict(documents[1], platform, ignore_unknown_fields=False)
            assert loaded.platform_spec == platform


def test_kubeflow_caches_no_step():
    tasks = training.compiled()["root"]["dag"]["tasks"].values()
    assert [task["cachingOptions"] for task in tasks] == [{}] * 5, "`enableCache: true` would be said here"
