"""charts/pilotage: what does not go together is refused by name, and the notes say what is left to do."""

from __future__ import annotations

from typing import Any

import pytest
from tests.charts import rendering
from tests.charts.platforms import CHART, EVERYTHING, MINIMAL, NAMESPACE, OWN, TRIAL, over

RAY = {"enabled": True, "namespace": "runs", "serviceAccount": "steps", "ray": {"enabled": True}}

REFUSED = {
    "no database": ({"database": {"url": {"name": ""}}}, "database.url.name"),
    "two databases": ({"postgresql": OWN}, "exclude each other"),
    "no passwords": (
        {
            "database": {"url": {"name": ""}},
            "mlflow": {"database": {"name": ""}},
            "postgresql": {"enabled": True},
        },
        "postgresql.passwords.name",
    ),
    "no database for MLflow": ({"mlflow": {"database": {"name": ""}}}, "mlflow.database.name"),
    "no MLflow": ({"mlflow": {"enabled": False}}, "tracking.uri"),
    "two MLflows": ({"tracking": {"uri": "https://mlflow.example.org"}}, "mlflow.enabled"),
    "two MLflows on one disk": ({"mlflow": {"replicas": 2}}, "mlflow.artifacts.url"),
    "no key in common": ({"installationKey": {"name": "", "key": ""}}, "installationKey.name"),
    "two ways in": ({"ingress": {"enabled": True}, "gateway": {"enabled": True}}, "choose one"),
    "a route to nowhere": ({"gateway": {"enabled": True}}, "gateway.parents"),
    "a provider that knows nobody": ({"oidc": {"issuer": "https://id.example.org"}}, "oidc.clientId"),
    "metrics of nothing": (
        {"metrics": {"enabled": False, "serviceMonitor": {"enabled": True}}},
        "needs `metrics.enabled`",
    ),
    "RayJobs for nobody": ({"kubeflow": {"ray": {"enabled": True}}}, "kubeflow.serviceAccount"),
    "Ray for everyone": ({"networkPolicy": {"ray": []}, "kubeflow": RAY}, "networkPolicy.ray"),
    "runs where nothing may go out": (
        {"kubeflow": {"enabled": True, "namespace": rendering.NAMESPACE}},
        "could reach nothing",
    ),
    "a personal key among values": (
        {"console": {"env": {"PILOTAGE_PERSONAL_KEY": "hunter2"}}},
        "looks like a secret",
    ),
    "watching nothing": ({"releases": {"watch": {"enabled": True}}}, "releases.to"),
    "ssh without keys": ({"releases": {"to": "ssh://git@git.example.org/a.git"}}, "releases.sshKey"),
    "requests without a token": (
        {"releases": {"to": "https://git.example.org/a.git", "mode": "branch", "forge": "github"}},
        "releases.forgeToken",
    ),
    "two places for windows": ({"storage": {"url": "s3://a", "existingClaim": "a"}}, "exclude each other"),
    "a monitor of nothing": ({"monitors": {"small": {}}}, "no such pilot in `pilots`"),
    "a monitor without windows": (
        {"pilots": EVERYTHING["pilots"], "monitors": {"flight-delay": {}}},
        "storage.existingClaim",
    ),
    "a pilot under another name": (
        {"pilots": {"other": EVERYTHING["pilots"]["flight-delay"]}},
        "both must name the same pilot",
    ),
    "a secret among values": ({"console": {"env": {"WAREHOUSE_PASSWORD": "hunter2"}}}, "looks like a secret"),
    "a variable of the chart's": ({"console": {"env": {"PILOTAGE_MIGRATE": "true"}}}, "set by the chart"),
    "the same from a secret": (
        {"console": {"secretEnv": {"PILOTAGE_DATABASE_URL": {"name": "a", "key": "b"}}}},
        "set by the chart",
    ),
    "a variable twice": (
        {"console": {"env": {"A": "1"}, "secretEnv": {"A": {"name": "a", "key": "b"}}}},
        "both in `console.env`",
    ),
    "a variable from nowhere": (
        {"console": {"secretEnv": {"A": {"name": "", "key": ""}}}},
        "needs the `name`",
    ),
    "a webhook's secret in the values": (
        {"console": {"webhooks": [{"name": "a", "url": "https://a.example.org", "secret": "whsec_abc"}]}},
        "secrets do not stand in values",
    ),
    "a webhook's secret from nowhere": (
        {"console": {"webhooks": [{"name": "a", "url": "https://a.example.org", "secret": "env:A"}]}},
        "not in `console.secretEnv`",
    ),
    "plain http for people": ({"console": {"url": "http://pilotage.example.org"}}, "console.url"),
    "an image that changes": ({"image": {"tag": "latest"}}, "image.tag"),
    "a password among values": ({"postgresql": {"password": "hunter2"}}, "password"),
}


@pytest.mark.parametrize(("values", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_go_together_is_refused_and_named(values: dict[str, Any], said: str) -> None:
    told = rendering.refusal(CHART, over(MINIMAL, values))
    assert said.replace(".", "/") in told or said in told, told


NOTED = {
    "the first administrator": (MINIMAL, "pilotage users add NAME --role admin --password"),
    "one from the provider": (EVERYTHING, "gives `pilotage:admin` in the claim `groups`"),
    "nobody let in": (MINIMAL, "nobody reaches the console yet"),
    "one address for all": (over(MINIMAL, {"ingress": {"enabled": True}}), "share one limit of"),
    "no way to the database": (MINIMAL, "nothing can reach the database"),
    "an open MLflow": (over(MINIMAL, {"networkPolicy": {"enabled": False}}), "whoever reaches it may change"),
    "no way to MLflow for steps": (
        over(MINIMAL, {"kubeflow": {"enabled": True, "namespace": "runs"}}),
        "does not name `runs`, so steps of runs cannot reach MLflow",
    ),
    "a database for trying out": (TRIAL, "for trying out"),
    "how pods are held": (EVERYTHING, "pod-security.kubernetes.io/enforce=restricted"),
}


@pytest.mark.parametrize(("values", "said"), NOTED.values(), ids=NOTED.keys())
def test_the_notes_say_what_is_left_to_do(values: dict[str, Any], said: str) -> None:
    told = rendering.notes(CHART, values, namespace=NAMESPACE)
    assert said in told
    assert "{{" not in told
