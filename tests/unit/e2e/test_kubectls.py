"""The tests' own kubectl: what is asked, what is read from answers, how long is waited; without a cluster."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e import kubectls
from tests.e2e.environments import Environment
from tests.e2e.installations import Installation, can_take_pods
from tests.e2e.kubectls import Kubectl, KubectlFailed

STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
here = Path({folder!r})
said = [*sys.argv[1:]]
stdin = sys.stdin.read() if "-" in said else ""
with (here / "calls").open("a") as calls:
    calls.write(json.dumps({{"arguments": said, "stdin": stdin}}) + "\\n")
answers = json.loads((here / "answers.json").read_text())
text = " ".join(said)
for pattern, code, out in answers:
    if pattern in text:
        warning, _, out = out.rpartition("|")
        sys.stdout.write(out if not code or warning else "")
        sys.stderr.write(warning if warning else out if code else "")
        sys.exit(code)
"""


@dataclass
class StandIn:
    """A program in kubectl's place, which writes down how it was called."""

    folder: Path
    answers: list[tuple[str, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        program = self.folder / "kubectl"
        program.write_text(STAND_IN.format(python=sys.executable, folder=str(self.folder)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.kubectl = Kubectl("models", str(program))
        self.answer()

    def answer(self, *answers: tuple[str, int, object]) -> None:
        """The first whose text is in a call is what that prints, with its exit code."""
        told = [
            (part, code, said if isinstance(said, str) else json.dumps(said)) for part, code, said in answers
        ]
        (self.folder / "answers.json").write_text(json.dumps(told))

    @property
    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def said(self) -> list[str]:
        return [" ".join(call["arguments"]) for call in self.calls]


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def test_objects_are_applied_by_stdin_each_in_the_namespace_that_it_names(stand_in: StandIn) -> None:
    """With `-n`, kubectl refuses those of another: "does not match the namespace"."""
    stand_in.kubectl.apply([{"kind": "A"}, {"kind": "B"}])
    (call,) = stand_in.calls
    assert call["arguments"] == ["apply", "-f", "-"]
    assert call["stdin"] == "kind: A\n---\nkind: B\n"


def test_a_call_that_fails_says_which_and_why(stand_in: StandIn) -> None:
    stand_in.answer(("get pod", 1, 'pods "x" not found'))
    with pytest.raises(KubectlFailed, match='get pod x -o json: 1: pods "x" not found'):
        stand_in.kubectl.get("pod", "x")
    assert 'pods "x" not found' in stand_in.kubectl.try_run("get", "pod")


def test_a_call_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(KubectlFailed, match="no end within 0 s"):
        Kubectl(program="sleep").run("5", seconds=0.2)


@pytest.mark.parametrize(
    ("code", "out", "may"),
    [
        (0, "yes\n", True),
        (1, "no\n", False),
        (1, "no - no RBAC policy matched\n", False),
        (1, "Warning: resource 'nodes' is not namespace scoped\n|no\n", False),
        (
            1,
            "Warning: the server doesn't have a resource type 'rollouts' in group 'argoproj.io'\n|no\n",
            False,
        ),
        (0, "Warning\nyes\n", True),
    ],
)
def test_rights_are_asked_for_by_account(stand_in: StandIn, code: int, out: str, may: bool) -> None:
    stand_in.answer(("auth can-i", code, out))
    assert stand_in.kubectl.can("platform:console", "list", "pods", "models") is may
    (said,) = stand_in.said
    assert said == "auth can-i list pods --as=system:serviceaccount:platform:console -n models"


def test_rights_that_cannot_be_asked_for_are_no_no(stand_in: StandIn) -> None:
    stand_in.answer(("auth can-i", 1, "The connection to the server was refused"))
    with pytest.raises(KubectlFailed):
        stand_in.kubectl.can("platform:console", "list", "pods", "models")


def test_all_rights_are_read_from_their_table() -> None:
    table = (
        "selfsubjectreviews.authentication.k8s.io        []   []   [create]\n"
        "pods                                            []   []   [list]\n"
        "deployments.apps                                []   []   [get list]\n"
        "                                                [/api/*]   []   [get]\n"
    )
    assert kubectls.parse_rights(table) == {
        ("pods", "list"),
        ("deployments.apps", "get"),
        ("deployments.apps", "list"),
    }


def test_what_a_command_prints_is_found_among_what_it_logs() -> None:
    log = (
        'alarm      3 columns differ\n{"time": "now", "message": "a line"}\n'
        '{\n  "pilot": "parcels",\n  "reports": [\n    {\n      "rows": 3\n    }\n  ]\n}\n'
        '{"time": "then"}\n{ not JSON\n'
    )
    assert kubectls.document_in(log, "reports") == {"pilot": "parcels", "reports": [{"rows": 3}]}
    with pytest.raises(AssertionError, match="no JSON with `versions`"):
        kubectls.document_in(log, "versions")


@pytest.mark.parametrize(
    ("code", "out", "evicted"),
    [
        (0, "{}", True),
        (1, "Cannot evict pod as it would violate the pod's disruption budget.", False),
        (1, 'Error from server (NotFound): pods "x" not found', True),
    ],
)
def test_evictions_honour_budgets(stand_in: StandIn, code: int, out: str, evicted: bool) -> None:
    stand_in.answer(("eviction", code, out))
    assert stand_in.kubectl.evict("x") is evicted
    (call,) = stand_in.calls
    assert call["arguments"][2:5] == ["create", "--raw", "/api/v1/namespaces/models/pods/x/eviction"]
    assert json.loads(call["stdin"])["kind"] == "Eviction"


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waiting(holds: Callable[[], object], seconds: float = 10) -> float:
    clock = Clock()
    kubectls.wait_until(
        "it", holds, seconds=seconds, diagnose=lambda: "so it is", clock=clock, sleep=clock.sleep
    )
    return clock.now


def test_waiting_ends_as_soon_as_it_holds() -> None:
    answers = iter([False, False, True])
    assert waiting(lambda: next(answers)) == 4


def test_what_fails_meanwhile_is_asked_again() -> None:
    answers: Iterator[KubectlFailed | bool] = iter([KubectlFailed("away"), True])

    def holds() -> bool:
        found = next(answers)
        if isinstance(found, KubectlFailed):
            raise found
        return found

    assert waiting(holds) == 2


def test_waiting_too_long_says_what_why_and_how_it_is() -> None:
    def fails() -> bool:
        raise KubectlFailed("still away")

    with pytest.raises(AssertionError, match="it: not within 10 s; the last call: still away\nso it is"):
        waiting(fails)


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, True),
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "readyReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 2}, False),
        ({}, False),
    ],
)
def test_ready_is_all_new_and_nothing_else(status: Mapping[str, int], ready: bool) -> None:
    assert (
        kubectls.is_ready({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}) is ready
    )


def test_a_job_has_ended_or_failed() -> None:
    def job(kind: str) -> dict[str, Any]:
        condition = {"type": kind, "status": "True", "message": "BackoffLimitExceeded"}
        return {"metadata": {"name": "migrate"}, "status": {"conditions": [condition]}}

    assert kubectls.has_ended(job("Complete"))
    assert not kubectls.has_ended({"metadata": {"name": "migrate"}})
    with pytest.raises(AssertionError, match="job migrate failed: BackoffLimitExceeded"):
        kubectls.has_ended(job("Failed"))


@pytest.mark.parametrize(
    ("changes", "takes"),
    [
        ({}, True),
        ({"unschedulable": True}, False),
        ({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}, True),
    ],
)
def test_pods_go_where_nodes_take_them(changes: dict[str, Any], takes: bool) -> None:
    node = {"spec": changes, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert can_take_pods(node) is takes


READY = {"observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}
WORKLOAD = {"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": READY}
ONE = {
    **WORKLOAD,
    "spec": {"replicas": 1},
    "status": {**READY, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1},
}
DONE = {
    "metadata": {"name": "x"},
    "status": {"ready": 1, "conditions": [{"type": "Complete", "status": "True"}]},
}
NODE = {
    "metadata": {"labels": {"kubernetes.io/hostname": "one"}},
    "spec": {},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


def test_an_installation_asks_for_nothing_but_what_it_should(stand_in: StandIn) -> None:
    stand_in.answer(
        ("get deployment pilotage-mlflow", 0, ONE),
        ("get statefulset", 0, ONE),
        ("get deployment", 0, WORKLOAD),
        ("get job", 0, DONE),
        ("get nodes", 0, {"items": [NODE]}),
        ("logs job/load", 0, json.dumps({"sent": 5, "failed": 0, "versions": {"1": 5}})),
        ("exec", 0, {"version": 1, "secret": "pilotage_x"}),
        ("get pods", 0, {"items": []}),
    )
    made = Installation(Environment(patience_seconds=30), stand_in.kubectl, sleep=lambda _: None)
    made.begin()
    assert made.train() == 1
    made.install_model(1)
    with made.load(5) as outcome:
        pass
    assert outcome == {"sent": 5, "failed": 0, "versions": {"1": 5}}
    assert made.give_token() == "pilotage_x"
    assert made.drain() == 0
    assert "--- pilotage-e2e-models" in made.diagnose()
    made.remove()
    verbs = {call["arguments"][2] for call in stand_in.calls if call["arguments"][0] == "-n"}
    assert verbs == {"get", "delete", "exec", "logs"}
    applied = [call["stdin"] for call in stand_in.calls if call["arguments"] == ["apply", "-f", "-"]]
    documents = [one for text in applied for one in yaml.safe_load_all(text)]
    assert {one["metadata"].get("namespace") for one in documents if one["kind"] != "Namespace"} == {
        made.places.platform,
        made.places.models,
    }, "each names its own"
    first, last = stand_in.said[0], stand_in.said[-1]
    assert first == last, "what an earlier run left is removed first"
    assert "delete namespace pilotage-e2e-models pilotage-e2e-platform --ignore-not-found" in first
