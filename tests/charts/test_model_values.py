"""What the values of charts/model do, alone and two by two, and what is said of those that it cannot take."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.charts import cases, policies, rendering, schemas
from tests.charts.manifests import External
from tests.charts.rendering import Document

from pilotage.core import pilots
from pilotage.serving.versions import shadows

DIGEST = "sha256:" + "a" * 64
MINIMAL = next(one for one in cases.of("model") if one.name == "minimal").values
ANY = External(
    {
        "Secret": frozenset({"given", "pilotage"}),
        "PriorityClass": frozenset({"high"}),
        "ServiceAccount": frozenset({"own"}),
        "PersistentVolumeClaim": frozenset({"own"}),
    }
)

GATEWAY = {"gateway": {"enabled": True, "parents": [{"name": "public"}]}}
SCRAPED = {"prometheus": {"serviceMonitor": {"enabled": True}}}
SWITCHES: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (cases.HERE / "switches.yaml").read_text(encoding="utf-8")
)
"""Values that do something, by what they decide and by choice."""
IMPOSSIBLE = {
    frozenset({"runs=kserve", "scale=keda"}): "KServe scales its own Deployment",
    frozenset({"runs=kserve", "guards=tls"}): "KServe's routes speak http",
    frozenset({"runs=routed", "guards=tls"}): "An HTTPRoute speaks http",
    frozenset({"runs=shadow", "guards=tls"}): "An HTTPRoute speaks http",
    frozenset({"route=prefix", "guards=tls"}): "An HTTPRoute speaks http",
    frozenset({"watch=on", "store=none"}): "The monitor reads the windows",
    frozenset({"runs=canary", "guards=tokens"}): "metrics need a token",
    frozenset({"runs=routed", "guards=tokens"}): "metrics need a token",
    frozenset({"runs=shadow", "guards=tokens"}): "metrics need a token",
}
"""Choices that exclude each other, and what is said then."""


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Values put together, later ones first."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else copy.deepcopy(value)
    return whole


def impossible(chosen: dict[str, str]) -> str:
    names = {f"{switch}={choice}" for switch, choice in chosen.items()}
    return next((said for pair, said in IMPOSSIBLE.items() if pair <= names), "")


def pairs() -> list[dict[str, str]]:
    """Few choices of all switches in which every possible pair of choices comes together (greedily)."""
    options = [[(switch, choice) for choice in choices] for switch, choices in SWITCHES.items()]
    open_ = {
        frozenset({one, two})
        for first, second in itertools.combinations(options, 2)
        for one, two in itertools.product(first, second)
        if not impossible(dict([one, two]))
    }
    found = []
    while open_:
        chosen = dict(sorted(min(open_, key=sorted)))
        for switch, choices in SWITCHES.items():
            if switch in chosen:
                continue
            possible = [choice for choice in choices if not impossible({**chosen, switch: choice})]
            taken = list(chosen.items())
            chosen[switch] = max(
                possible, key=lambda choice: sum(frozenset({(switch, choice), one}) in open_ for one in taken)
            )
        open_ -= {frozenset(pair) for pair in itertools.combinations(chosen.items(), 2)}
        found.append(chosen)
    return found


def values_of(chosen: dict[str, str]) -> dict[str, Any]:
    return merged(MINIMAL, *(SWITCHES[switch][choice] for switch, choice in chosen.items()))


def problems(values: dict[str, Any]) -> list[str]:
    found = rendering.render("model", values)
    return [problem for one in found for problem in schemas.problems(one)] + policies.check(found, ANY)


def workload_of(values: dict[str, Any]) -> Document:
    """What runs the servers."""
    kinds = ("Deployment", "Rollout", "InferenceService")
    return next(one for one in rendering.render("model", values) if one["kind"] in kinds)


def pod_of(values: dict[str, Any]) -> Document:
    return next(schemas.pod_templates(workload_of(values)))


def test_every_two_choices_go_together_or_say_why_not():
    every = pairs()
    assert len(every) < 60
    wrong = {json.dumps(chosen): found for chosen in every if (found := problems(values_of(chosen)))}
    assert wrong == {}


@pytest.mark.parametrize(("pair", "said"), IMPOSSIBLE.items(), ids=lambda one: "+".join(sorted(one))[:40])
def test_choices_that_exclude_each_other_say_so(pair: frozenset[str], said: str):
    chosen = dict(name.split("=") for name in pair)
    assert said in rendering.refusal("model", values_of(chosen))


BAD: list[tuple[str, dict[str, Any], str]] = [
    tuple(one) for one in yaml.safe_load((cases.HERE / "refusals.yaml").read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("_", "values", "said"), BAD, ids=[one[0] for one in BAD])
def test_a_value_that_cannot_be_is_refused_with_its_place(_: str, values: dict[str, Any], said: str):
    found = {key: value for key, value in merged(MINIMAL, values).items() if value is not None}
    if "spec" in values:
        found["spec"] = values["spec"]
    assert said in rendering.refusal("model", found)


@pytest.mark.parametrize("choice", SWITCHES["runs"])
def test_the_longest_name_of_a_pilot_fits_everywhere(choice: str):
    name = "p" * 63
    values = merged(
        values_of({"runs": choice, "store": "claim", "watch": "on", "rules": "on"}), {"pilot": name}
    )
    values["spec"]["pilot"] = name
    assert problems(values) == []


@pytest.mark.parametrize("pilot", ["flight-delay", "diamond-price", "digits"])
def test_the_pilot_that_is_mounted_reads_as_the_one_that_was_given(pilot: str, repository: Path):
    known = pilots.load(repository / "pilots" / pilot).spec
    values = merged(MINIMAL, {"pilot": pilot, "spec": None})
    values["spec"] = known.model_dump(mode="json", exclude_unset=True)
    found = rendering.render("model", values)
    text = next(one for one in found if one["kind"] == "ConfigMap")["data"]["pilot.yaml"]
    assert pilots.parse(text) == known


def test_a_new_version_restarts_pods_and_a_new_reason_does_not():
    before = pod_of(MINIMAL)
    assert pod_of(merged(MINIMAL, {"evidence": {"reason": "because", "approver": "ada"}})) == before
    for change in (
        {"model": {"version": 8}},
        {"model": {"digest": "sha256:" + "1" * 64}},
        {"spec": {"owner": "other"}},
        {"image": {"digest": "sha256:" + "1" * 64}},
    ):
        assert pod_of(merged(MINIMAL, change)) != before


@pytest.mark.parametrize("choice", SWITCHES["runs"])
def test_why_a_version_is_live_is_written_on_what_runs_it(choice: str):
    evidence = {"run": "r1", "approver": 'ada "a"', "reason": "50 %: yes\nno"}
    values = merged(values_of({"runs": choice}), {"evidence": evidence})
    workload = workload_of(values)
    found = workload["metadata"]["annotations"]
    assert {key: found[f"pilotage.dev/{key}"] for key in evidence} == evidence
    assert "pilotage.dev/scorecard" not in found
    assert workload["metadata"]["labels"]["pilotage.dev/version"] == "7"
    assert next(schemas.pod_templates(workload))["metadata"]["labels"]["pilotage.dev/version"] == "7"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({}, "pilotage/serving:0.1.0"),
        ({"registry": "registry.example:5000/"}, "registry.example:5000/pilotage/serving:0.1.0"),
        ({"registry": "r.example", "digest": DIGEST}, f"r.example/pilotage/serving@{DIGEST}"),
    ],
    ids=["default", "registry", "digest"],
)
def test_a_digest_wins_over_a_tag(image: dict[str, str], name: str):
    assert pod_of(merged(MINIMAL, {"image": image}))["spec"]["containers"][0]["image"] == name


def test_a_canary_waits_for_requests_and_then_as_long_as_it_is_asked():
    values = merged(values_of({"runs": "routed"}), {"rollout": {"steps": [5, 25], "pause": "1.5h"}})
    rollout = next(one for one in rendering.render("model", values) if one["kind"] == "Rollout")
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    assert [next(iter(step)) for step in steps] == ["setWeight", "analysis", "pause"] * 2
    assert [step["setWeight"] for step in steps if "setWeight" in step] == [5, 25]
    assert {step["pause"]["duration"] for step in steps if "pause" in step} == {"5400s"}


def test_a_step_is_long_enough_to_be_found_wrong_in():
    values = merged(values_of({"runs": "canary"}), {"rollout": {"pause": "1s"}, "rollouts": {"failures": 3}})
    rollout = next(one for one in rendering.render("model", values) if one["kind"] == "Rollout")
    pauses = {
        step["pause"]["duration"]
        for step in rollout["spec"]["strategy"]["canary"]["steps"]
        if "pause" in step
    }
    assert pauses == {"150s"}  # five measurements, of which four may be wrong


def test_a_shadow_gets_copies_and_never_an_answer_of_its_own_out():
    found = rendering.render("model", values_of({"runs": "shadow"}))
    route = next(one for one in found if one["kind"] == "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    (mirror,) = [
        part["requestMirror"]["backendRef"]["name"] for part in rule["filters"] if "requestMirror" in part
    ]
    answering = {backend["name"] for backend in rule["backendRefs"]}
    services = {one["metadata"]["name"]: one["spec"]["selector"] for one in found if one["kind"] == "Service"}
    assert services[mirror]["app.kubernetes.io/component"] == "shadow"
    assert {services[name]["app.kubernetes.io/component"] for name in answering} == {"server"}


@pytest.mark.parametrize(
    ("drain", "grace"),
    [
        ({}, 55),
        ({"preStopSeconds": 0, "delaySeconds": 0}, 45),
        ({"preStopSeconds": 20, "delaySeconds": 40}, 105),
    ],
    ids=["default", "none", "long"],
)
def test_a_pod_has_time_to_end(drain: dict[str, int], grace: int):
    assert pod_of(merged(MINIMAL, {"drain": drain}))["spec"]["terminationGracePeriodSeconds"] == grace


def test_the_monitor_shows_its_token_over_plain_http_to_the_console_alone():
    def variables(address: str) -> dict[str, Any]:
        values = merged(values_of({"watch": "on", "store": "object"}), {"monitor": {"consoleUrl": address}})
        job = next(one for one in rendering.render("model", values) if one["kind"] == "CronJob")
        (container,) = next(schemas.pod_templates(job))["spec"]["containers"]
        return {one["name"]: one.get("value") for one in container["env"]}

    assert variables("http://console.pilotage.svc:8000")["PILOTAGE_INSIDE_HOSTS"] == "console.pilotage.svc"
    assert "PILOTAGE_INSIDE_HOSTS" not in variables("https://console.example")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "nobody may ask this model yet"),
        ({}, "windows of served traffic stay on each pod's own disk"),
        ({"rollout": {"strategy": "canary"}}, "replaces its pods one by one"),
        ({"storage": {"url": "s3://a"}}, "servers cannot reach s3://a"),
    ],
    ids=["clients", "windows", "strategy", "store"],
)
def test_notes_warn_of_what_is_probably_not_meant(values: dict[str, Any], said: str):
    everything = next(one for one in cases.of("model") if one.name == "everything").values
    assert said in rendering.notes("model", merged(MINIMAL, values))
    assert said not in rendering.notes("model", everything)


def test_what_a_shadow_counts_goes_where_the_monitor_does_not_look():
    values = values_of({"runs": "shadow", "store": "object", "watch": "on"})
    found = rendering.render("model", values)
    rollout = next(one for one in found if one["kind"] == "Rollout")
    (server,) = rollout["spec"]["template"]["spec"]["containers"]
    variables = {one["name"]: one for one in server["env"]}
    assert variables["PILOTAGE_STORAGE_URL"]["value"] == "s3://pilotage", "encoders are read from it"
    label = variables["PILOTAGE_RECORD_BELOW"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert label == "metadata.labels['pilotage.dev/storage-part']"
    assert rollout["spec"]["template"]["metadata"]["labels"]["pilotage.dev/storage-part"] == ""
    experiment = rollout["spec"]["strategy"]["canary"]["steps"][0]["experiment"]
    (template,) = experiment["templates"]
    assert template["metadata"]["labels"]["pilotage.dev/storage-part"] == shadows.FOLDER
    job = next(one for one in found if one["kind"] == "CronJob")
    (monitor,) = next(schemas.pod_templates(job))["spec"]["containers"]
    assert {"name": "PILOTAGE_STORAGE_URL", "value": "s3://pilotage"} in monitor["env"]


OPENINGS = rendering.schema("model")["properties"]["networkPolicy"]["properties"].keys() - {"enabled"}


def test_every_opening_and_every_secret_is_explained():
    readme = (rendering.CHARTS / "model" / "README.md").read_text(encoding="utf-8")
    table = readme.split("## What is open, and for what")[1].split("## Values")[0]
    for opening in OPENINGS:
        assert f"`networkPolicy.{opening}`" in table
    for secret in (
        "prometheus.serviceMonitor.token",
        "monitor.token",
        "installationKey",
        "server",
        "tracking",
    ):
        assert f"`{secret}`" in table
    assert "no role and no token" in table
    everything = [one for case in cases.of("model") for one in rendering.render("model", case.values)]
    assert {one["kind"] for one in everything}.isdisjoint(
        {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    )
