"""kubectl, as the tests call it: every call has a limit, and one that fails says what it was and why.

What is waited for, and what is read from answers, is plain Python, tested without a
cluster. The only module that starts kubectl.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

Document = dict[str, Any]
_CALL_SECONDS = 120
_DENIED = ("no", "no - ")


class KubectlFailed(Exception):
    """A call that ended with another code than 0, or did not end."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl with the cluster that KUBECONFIG names."""

    namespace: str = ""
    program: str = "kubectl"

    def within(self, namespace: str) -> Kubectl:
        """The same in another namespace."""
        return Kubectl(namespace, self.program)

    def run(self, *arguments: str, stdin: str | None = None, seconds: float = _CALL_SECONDS) -> str:
        """What a call prints.

        Raises:
            KubectlFailed: it failed, or took longer than `seconds`.
        """
        command = self._command(arguments)
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlFailed(f"{' '.join(command)}: no end within {seconds:.0f} s") from error
        if done.returncode:
            # Warnings are on one and answers on the other, such as the "no" of `auth can-i`.
            said = "\n".join(filter(None, (done.stderr.strip(), done.stdout.strip())))
            raise KubectlFailed(f"{' '.join(command)}: {done.returncode}: {said}")
        return done.stdout

    def try_run(self, *arguments: str, seconds: float = _CALL_SECONDS) -> str:
        """What a call prints, or why it failed: for diagnoses."""
        try:
            return self.run(*arguments, seconds=seconds)
        except KubectlFailed as error:
            return str(error)

    def apply(self, documents: Sequence[Document]) -> str:
        """Let objects be as they are given, each in the namespace that it names.

        Without `-n`: kubectl refuses objects of another namespace than that, and a chart may have some.
        """
        text = yaml.safe_dump_all(documents, sort_keys=False)
        return Kubectl("", self.program).run("apply", "-f", "-", stdin=text, seconds=300)

    def get(self, kind: str, name: str = "", selector: str = "") -> Document:
        """An object, or a list of them."""
        chosen = [name] if name else (["-l", selector] if selector else [])
        found: Document = json.loads(self.run("get", kind, *chosen, "-o", "json"))
        return found

    def items(self, kind: str, selector: str = "") -> list[Document]:
        """Objects of a kind."""
        return list(self.get(kind, selector=selector)["items"])

    def can(self, account: str, verb: str, resource: str, namespace: str) -> bool:
        """Whether a service account (`NAMESPACE:NAME`) may do something in a namespace."""
        command = ["auth", "can-i", verb, resource, f"--as=system:serviceaccount:{account}", "-n", namespace]
        try:
            said = Kubectl("", self.program).run(*command)
        except KubectlFailed as error:
            if says_no(str(error)):
                return False
            raise
        return said.strip().splitlines()[-1] == "yes"

    def rights(self, account: str, namespace: str) -> set[tuple[str, str]]:
        """Resource and verb of all that a service account may do in a namespace, as `can-i --list` has it."""
        table = Kubectl("", self.program).run(
            "auth",
            "can-i",
            "--list",
            "--no-headers",
            f"--as=system:serviceaccount:{account}",
            "-n",
            namespace,
        )
        return parse_rights(table)

    def evict(self, pod: str) -> bool:
        """Ask for a pod's eviction, as a drain does; False where a disruption budget says not now."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        try:
            self.run("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
        except KubectlFailed as error:
            if is_held_by_budget(str(error)):
                return False
            if "NotFound" in str(error) or "not found" in str(error):
                return True
            raise
        return True

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[str]:
        """A loopback address that leads to a port of a Service or pod while the block runs."""
        local = free_port()
        command = self._command(("port-forward", "--address", "127.0.0.1", target, f"{local}:{port}"))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(
                f"the forward to {target}",
                lambda: _listens(local) or _ended(process, command),
                seconds=60,
                every_seconds=0.2,
            )
            yield f"http://127.0.0.1:{local}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stderr is not None:
                process.stderr.close()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        place = ["-n", self.namespace] if self.namespace else []
        return [self.program, *place, *arguments]


def installed() -> bool:
    """Whether there is a kubectl."""
    return shutil.which("kubectl") is not None


def wait_until(
    what: str,
    holds: Callable[[], object],
    *,
    seconds: float,
    every_seconds: float = 2.0,
    diagnose: Callable[[], str] = lambda: "",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Ask again and again until `holds()`; what fails with KubectlFailed meanwhile is asked again.

    Raises:
        AssertionError: it did not within `seconds`; says what it was, the last failure and the diagnosis.
    """
    deadline, last = clock() + seconds, ""
    while True:
        try:
            if holds():
                return
            last = ""
        except KubectlFailed as error:
            last = f"; the last call: {error}"
        if clock() >= deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s{last}\n{diagnose()}")
        sleep(every_seconds)


def is_ready(item: Mapping[str, Any]) -> bool:
    """Whether a Deployment or StatefulSet runs as it is now specified, and nothing else."""
    spec, status = item["spec"], item.get("status", {})
    wanted = spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        return False
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    return counts == [wanted] * 3


def is_pod_ready(pod: Mapping[str, Any]) -> bool:
    """Whether each container of a pod is ready; one whose containers are not there yet is not."""
    containers = pod.get("status", {}).get("containerStatuses", ())
    return bool(containers) and all(one.get("ready") for one in containers)


def has_ended(job: Mapping[str, Any]) -> bool:
    """Whether a Job is complete.

    Raises:
        AssertionError: it failed.
    """
    for condition in job.get("status", {}).get("conditions", ()):
        if condition.get("status") == "True" and condition.get("type") == "Failed":
            raise AssertionError(f"job {job['metadata']['name']} failed: {condition.get('message')}")
        if condition.get("status") == "True" and condition.get("type") == "Complete":
            return True
    return False


def parse_rights(table: str) -> set[tuple[str, str]]:
    """Resource and verb of each line of `kubectl auth can-i --list`, but for those about URLs and oneself.

    A line has the resources, non-resource URLs and names in brackets, and the verbs in brackets.
    """
    found = set()
    for line in table.splitlines():
        resource = line.split("[", 1)[0].strip()
        if not resource or resource.startswith(("selfsubject", "Resources")):
            continue
        verbs = line.rstrip().rpartition("[")[2].rstrip("]").split()
        found |= {(resource, verb) for verb in verbs}
    return found


def document_in(log: str, key: str) -> Document:
    """The last JSON object of a container's log that has `key`, among whatever else was said.

    A log has what was written to both outputs, and objects may span lines.
    """
    decoder, found, at = json.JSONDecoder(), None, 0
    for line in log.splitlines(keepends=True):
        if line.startswith("{"):
            try:
                one, _ = decoder.raw_decode(log, at)
            except json.JSONDecodeError:
                one = {}
            found = one if key in one else found
        at += len(line)
    if found is None:
        raise AssertionError(f"no JSON with `{key}` in the log:\n{log}")
    return dict(found)


def says_no(failure: str) -> bool:
    """Whether `auth can-i` ended with 1 because the answer is no, and not because it could not ask."""
    said = failure.rpartition(": 1: ")[2].strip()
    return bool(said) and said.splitlines()[-1].startswith(_DENIED)


def is_held_by_budget(failure: str) -> bool:
    """Whether an eviction was refused because too few pods would be left."""
    return "disruption budget" in failure or "TooManyRequests" in failure


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _ended(process: subprocess.Popen[str], command: Sequence[str]) -> bool:
    if process.poll() is None:
        return False
    said = process.stderr.read() if process.stderr is not None else ""
    raise AssertionError(f"{' '.join(command)} ended: {said}")
