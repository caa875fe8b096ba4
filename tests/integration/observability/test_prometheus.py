"""A real Prometheus scrapes a real server and a real console, takes the rules and answers the dashboards."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from tests.integration.observability import expressions
from tests.integration.observability.conftest import Scraped, free_port

MAY_BE_EMPTY = {
    "service.json: Failures by version": "none in the first seconds",
    "service.json: Answered, 3 days": "a rate needs two scrapes that differ",
}


@pytest.fixture(scope="module")
def prometheus(scraped: Scraped, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that has scraped a few times."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed: `apt-get install prometheus`")
    folder = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {
            "job_name": name,
            "scheme": urlsplit(url).scheme,
            "tls_config": {"insecure_skip_verify": True},
            "static_configs": [{"targets": [urlsplit(url).netloc], "labels": {"namespace": "prod"}}],
        }
        for name, url in (("servers", scraped.server), ("console", scraped.console))
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(file) for file in expressions.rule_files()],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until both were scraped, and rules with a first interval of 30 s were evaluated."""
    limit = time.monotonic() + 120
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.5)
        try:
            if httpx.get(f"{url}/-/ready", timeout=30).status_code != 200:
                continue  # until then it answers with texts
        except httpx.TransportError:
            continue
        if len(_ask(url, "pilotage:requests:increase1h")) and len(_ask(url, "pilotage_leader")):
            return


def _ask(url: str, expr: str) -> list[object]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expr}, timeout=30).json()
    assert answer["status"] == "success", (expr, answer)
    found: list[object] = answer["data"]["result"]
    return found


@pytest.mark.slow
def test_every_panel_has_something_to_show(prometheus: str) -> None:
    asked = list(expressions.of_dashboards())
    empty = {one.place for one in asked if not _ask(prometheus, one.expr)}
    assert empty - MAY_BE_EMPTY.keys() == set()


@pytest.mark.slow
def test_every_rule_can_be_evaluated(prometheus: str) -> None:
    groups = httpx.get(f"{prometheus}/api/v1/rules", timeout=30).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(expressions.rules())
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


@pytest.mark.slow
def test_what_is_wrong_here_is_told(prometheus: str) -> None:
    """An alarm, a failed run, a run that waits, a lost console: alerts of them are at least pending."""
    groups = httpx.get(f"{prometheus}/api/v1/rules", timeout=30).json()["data"]["groups"]
    about = {rule["name"] for group in groups for rule in group["rules"] if rule.get("alerts")}
    assert {
        "PilotageDrift",
        "PilotageRetrainingFailed",
        "PilotageRunWaits",
        "PilotageServiceNotRunning",
    } <= about
    assert not about & {
        "PilotageNoLeader",
        "PilotageDatabaseDown",
        "PilotageConsoleGone",
        "PilotageServerNotReady",
    }
