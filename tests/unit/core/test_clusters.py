"""What steps need on a cluster is checked on its line of pilot.yaml."""

from __future__ import annotations

import pytest

from pilotage.core import errors, pilots
from pilotage.core.specs import PilotSpec

BASE = "version: 1\npilot: small\ndata: {source: rows.csv, target: y}\ngoal: {metric: roc_auc}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {resources: {memory: 8Go}}", r"pilot\.yaml:5: `train\.resources\.memory`: expected text of"),
        ("train: {resources: {cpu: 2, cpu_limit: 500m}}", "`cpu` is above `cpu_limit`"),
        ("train: {resources: {memory: 2Gi, memory_limit: 1G}}", "`memory` is above `memory_limit`"),
        ("train: {resources: {gpu_type: amd.com/gpu}}", "`gpu_type` goes with `gpu`"),
        ("cluster: {nodeselector: {a: b}}", "did you mean `node_selector`"),
        ("cluster: {steps: {trane: {}}}", "did you mean `train`"),
        ("cluster:\n  steps:\n    train: {resources: {cpu: 1}}", r"pilot\.yaml:7: .*`train\.resources`"),
        ("cluster: {tolerations: [{key: a, operator: Exist}]}", "'Equal' or 'Exists'"),
        ("cluster: {tolerations: [{key: a, operator: Exists, value: b}]}", "does not go with"),
        ("cluster: {tolerations: [{value: b}]}", "`key` is missing"),
        ("cluster: {tolerations: [{key: a, toleration_seconds: 5}]}", "`effect: NoExecute`"),
        ("cluster: {secrets: [{secret_name: db}]}", "needs `env`"),
        ("cluster: {secrets: [{secret_name: db, env: {a: PILOTAGE_HOME}}]}", "set by the installation"),
        ("cluster: {secrets: [{secret_name: My_Secret, mount_path: /x}]}", "secret_name"),
        ("cluster: {volumes: [{pvc_name: a, mount_path: data}]}", "mount_path"),
        ("cluster: {volumes: [{pvc_name: a, mount_path: /d, sub_path: ../b}]}", "leads out of the volume"),
        ("cluster: {volumes: [{pvc_name: a, mount_path: /tmp}]}", "would hide `/tmp`"),
        ("cluster: {volumes: [{pvc_name: a, mount_path: /d}, {pvc_name: b, mount_path: /d/}]}", "hide `/d`"),
    ],
)
def test_a_mistake_is_named(text: str, words: str) -> None:
    with pytest.raises(errors.SpecError, match=words):
        pilots.parse(f"{BASE}{text}\n")


def test_cores_may_be_numbers_and_a_spec_reads_back_the_same() -> None:
    spec = pilots.parse(f"{BASE}train: {{resources: {{cpu: 4, gpu: 1}}}}\ncluster: {{image: a/b:1}}\n")
    assert spec.train.resources.cpu == "4"
    assert PilotSpec.model_validate_json(spec.model_dump_json()) == spec
    assert pilots.from_json(spec.model_dump_json(exclude_unset=True)) == spec
