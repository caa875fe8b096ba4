"""Each policy finds what it is for: one thing of a good rendering is made wrong, and the policy says so."""

from __future__ import annotations

import copy
import functools
from typing import Any, NamedTuple

import pytest
import yaml
from tests.charts import cases, policies, rendering
from tests.charts.manifests import External
from tests.charts.policies_of_objects import cron_problems
from tests.charts.rendering import Document


class Change(NamedTuple):
    """One value of one manifest made wrong."""

    policy: str
    kind: str
    path: str
    said: str
    value: Any = None
    case: str = "everything"
    drop: bool = False


def read_changes() -> list[Change]:
    """Those of `changes.yaml`."""
    content = yaml.safe_load((cases.HERE / "changes.yaml").read_text(encoding="utf-8"))
    return [Change(**one, drop="value" not in one) for one in content]


CHANGES = read_changes()
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
ROLE = {"kind": "Role", "metadata": {"name": "a"}, "rules": [RULE]}
BINDING = {
    "kind": "RoleBinding",
    "metadata": {"name": "a"},
    "roleRef": {"kind": "Role", "name": "a"},
    "subjects": [{"kind": "ServiceAccount", "name": "flight-delay"}],
}
RIGHTS: list[tuple[str, list[Document], str]] = [
    ("verbs", [{**ROLE, "rules": [{**RULE, "verbs": ["*"]}]}], "all, verbs"),
    ("groups", [{**ROLE, "rules": [{**RULE, "apiGroups": ["*"]}]}], "all, apiGroups"),
    ("resources", [{**ROLE, "rules": [{**RULE, "resources": []}]}], "all, resources"),
    ("no-role", [BINDING], "no Role/a"),
    ("no-account", [ROLE, {**BINDING, "subjects": [{"kind": "Group", "name": "all"}]}], "Group/all"),
]


@functools.cache
def rendered(case: str) -> list[Document]:
    chosen = next(one for one in cases.of("model") if one.name == case)
    return rendering.render("model", chosen.values)


def changed(change: Change) -> list[Document]:
    """The rendering with the change made in the first manifest of its kind."""
    found = copy.deepcopy(rendered(change.case))
    place: Any = next(document for document in found if document["kind"] == change.kind)
    *above, last = [part.replace("~", ".") for part in change.path.split(".")]
    for part in above:
        place = place[int(part)] if isinstance(place, list) else place[part]
    key: Any = int(last) if isinstance(place, list) else last
    if change.drop:
        del place[key]
    else:
        place[key] = change.value
    return found


def asked(policy: str, documents: list[Document], external: External | None = None) -> list[str]:
    """What one policy says."""
    found = policies.check(documents, external or cases.external("model"))
    return [line for line in found if line.startswith(f"{policy}: ")]


@pytest.mark.parametrize(
    "change", CHANGES, ids=[f"{place}-{one.policy}" for place, one in enumerate(CHANGES)]
)
def test_a_policy_finds_what_is_wrong(change: Change):
    assert asked(change.policy, rendered(change.case)) == []
    found = asked(change.policy, changed(change))
    assert any(change.said in line for line in found), found


@pytest.mark.parametrize(("_", "added", "said"), RIGHTS, ids=[one[0] for one in RIGHTS])
def test_roles_and_bindings_are_looked_at(_: str, added: list[Document], said: str):
    assert any(said in line for line in asked("rights", [*rendered("minimal"), *added]))
    assert asked("rights", [*rendered("minimal"), ROLE, BINDING]) == []


def test_what_is_there_twice_is_found():
    assert asked("duplicates", [*rendered("minimal"), rendered("minimal")[0]]) != []


def test_a_secret_in_a_manifest_is_found():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
    assert asked("secrets", [secret]) == ["secrets: Secret/s: has its content in the manifest"]


def test_the_same_question_for_ready_and_alive_is_found():
    found = copy.deepcopy(rendered("everything"))
    server = next(one for one in found if one["kind"] == "Deployment")["spec"]["template"]["spec"][
        "containers"
    ][0]
    server["livenessProbe"] = server["readinessProbe"]
    assert any("would be killed" in line for line in asked("probes", found))


def test_a_budget_that_asks_for_all_pods_is_found():
    found = copy.deepcopy(rendered("everything"))
    budget = next(one for one in found if one["kind"] == "PodDisruptionBudget")
    del budget["spec"]["maxUnavailable"]
    for least, wrong in ((3, True), (2, False), ("100%", True)):
        budget["spec"]["minAvailable"] = least
        assert bool(asked("disruption", found)) is wrong


def test_a_pod_that_no_network_policy_selects_is_found():
    found = [
        one
        for one in rendered("everything")
        if one["metadata"]["name"] != "flight-delay-monitor" or one["kind"] == "CronJob"
    ]
    assert any("CronJob/flight-delay-monitor" in line for line in asked("network_policies", found))


def test_what_nobody_declared_is_found():
    said = asked("references", rendered("everything"), External())
    assert any("Secret/object-store" in line for line in said)
    assert any("PriorityClass/serving" in line for line in said)


def test_a_token_may_be_used_by_those_who_are_listed():
    change = next(one for one in CHANGES if one.policy == "tokens")
    assert asked("tokens", changed(change), External(tokens=frozenset({"Deployment/flight-delay"}))) == []


def test_every_policy_has_a_change_that_breaks_it():
    tried = {change.policy for change in CHANGES} | {"rights", "duplicates"}
    assert tried == policies.POLICIES.keys()


@pytest.mark.parametrize(
    "schedule", ["*/15 * * * *", "0 3 * * 1", "5,35 0-6/2 1 jan mon-fri", "@daily", "0 0 * * 7"]
)
def test_schedules_that_cron_takes(schedule: str):
    assert list(cron_problems(schedule)) == []


@pytest.mark.parametrize(
    "schedule",
    [
        *("", "* * * *", "* * * * * *", "@reboot", "a * * * *"),
        *("60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"),
        *("*/0 * * * *", "*/ * * * *", "5-1 * * * *", "1-2-3 * * * *", "1,,2 * * * *"),
    ],
)
def test_schedules_that_cron_does_not_take(schedule: str):
    assert list(cron_problems(schedule)) != []
