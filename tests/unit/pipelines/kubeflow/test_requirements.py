"""What keeps pods from running a pilot is said with the setting or the key that it is about."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.core import errors, pilots, settings
from pilotage.pipelines.kubeflow import requirements

GOOD = {
    "kubeflow_url": "https://kubeflow.example",
    "storage_url": "memory://pilotage",
    "mlflow_tracking_uri": "http://mlflow:5000",
}
BASE = "version: 1\npilot: small\ngoal: {metric: roc_auc}\n"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kubeflow_url": ""}, "PILOTAGE_KUBEFLOW_URL"),
        ({"storage_url": ""}, "PILOTAGE_STORAGE_URL"),
        ({"storage_url": "/srv/pilotage"}, r"is the folder /srv/pilotage.*cluster\.volumes"),
        ({"mlflow_tracking_uri": ""}, "MLFLOW_TRACKING_URI"),
        ({"mlflow_tracking_uri": "sqlite:////srv/mlflow.db"}, "pods cannot reach"),
    ],
)
def test_a_setting_that_is_missing_is_named(changed: dict[str, Any], words: str, tmp_path):
    spec = pilots.parse(f"{BASE}data: {{source: rows.csv, target: y}}\n")
    with pytest.raises(errors.SettingsError, match=words):
        requirements.require(settings.load(**{**GOOD, **changed}), spec, tmp_path)


@pytest.mark.parametrize("source", ["../rows.csv", "/data/rows.csv"])
def test_data_outside_the_folder_is_no_pods(source: str, tmp_path):
    spec = pilots.parse(f"{BASE}data: {{source: {source}, target: y}}\n")
    with pytest.raises(errors.SourceError, match=r"`data\.source: .*no pod finds it"):
        requirements.require(settings.load(**GOOD), spec, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "data: {source: 's3://lake/*.parquet', target: y}",
        "data: {source: data/*.csv, target: y}",
        "data: {source: /data/rows.csv, target: y}\ncluster: {volumes: [{pvc_name: a, mount_path: /data}]}",
        'data: {source: {sql: "select 1", url: "env:WAREHOUSE"}, target: y}',
    ],
    ids=["storage", "folder", "volume", "sql"],
)
def test_what_pods_can_reach_is_taken(text: str, tmp_path):
    requirements.require(settings.load(**GOOD), pilots.parse(f"{BASE}{text}\n"), tmp_path)


def test_a_folder_that_is_mounted_is_a_storage(tmp_path):
    mounted = "cluster: {volumes: [{pvc_name: a, mount_path: /shared}]}"
    spec = pilots.parse(f"{BASE}data: {{source: rows.csv, target: y}}\n{mounted}\n")
    ours = settings.load(**{**GOOD, "storage_url": "/shared/pilotage"})
    requirements.require(ours, spec, tmp_path)


@pytest.mark.parametrize(
    "url", ["kubeflow.example", "ftp://kubeflow", "https://ann:secret@kubeflow", "https://k?x=1"]
)
def test_an_address_that_is_none_is_a_wrong_setting(url: str):
    with pytest.raises(errors.SettingsError, match="PILOTAGE_KUBEFLOW_URL"):
        settings.load(kubeflow_url=url)
