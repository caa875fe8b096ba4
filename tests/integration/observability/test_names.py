"""Rules and dashboards ask for metrics and labels that a real server and a real console tell."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.observability import expressions
from tests.integration.observability.conftest import Scraped
from tests.integration.observability.expressions import TARGET_LABELS, Asked, Reader

from pilotage.serving.telemetry.readings import BOUNDS_SECONDS

promql_parser: Any = pytest.importorskip("promql_parser", reason="reads PromQL: `pip install promql-parser`")


@pytest.fixture
def reader() -> Reader:
    return Reader(promql_parser)


def wrong(reader: Reader, asked: Asked, known: dict[str, frozenset[str]]) -> list[str]:
    """What an expression asks for that nobody tells."""
    found = []
    selected: set[str] = set()
    for name, labels in reader.selectors(asked.expr):
        if name not in known:
            found.append(f"{asked.place}: there is no metric {name}")
            continue
        lacking = labels - known[name] - TARGET_LABELS
        found += [f"{asked.place}: {name} has no label {label}" for label in sorted(lacking)]
        selected |= known[name]
    lacking = reader.grouped(asked.expr) - selected - TARGET_LABELS
    return found + [f"{asked.place}: nothing in it has a label {label}" for label in sorted(lacking)]


def test_a_wrong_name_and_a_wrong_label_are_found(reader: Reader) -> None:
    known = {"a_total": frozenset({"pilot"})}
    assert wrong(reader, Asked("x", 'sum by (pilot) (rate(a_total{pilot="p"}[5m]))'), known) == []
    for expr, told in (
        ("rate(b_total[5m])", "x: there is no metric b_total"),
        ('a_total{version="1"}', "x: a_total has no label version"),
        ("sum by (version) (a_total)", "x: nothing in it has a label version"),
        ("a_total / on (version) a_total", "x: nothing in it has a label version"),
        ("topk(3, time() - max_over_time(b_total[1h:5m]))", "x: there is no metric b_total"),
    ):
        assert wrong(reader, Asked("x", expr), known) == [told]


def test_rules_and_dashboards_ask_for_what_is_told(scraped: Scraped, reader: Reader) -> None:
    known = {**scraped.labels, **expressions.recorded(reader, scraped.labels)}
    asked = [*expressions.of_rules(), *expressions.of_dashboards()]
    assert len(asked) > 100
    assert [problem for one in asked for problem in wrong(reader, one, known)] == []
    for expr, label in expressions.of_variables():
        assert wrong(reader, Asked("variable", expr), known) == []
        [(name, _)] = reader.selectors(expr)
        assert label in known[name] | TARGET_LABELS


def test_what_is_told_is_shown_or_watched(scraped: Scraped, reader: Reader) -> None:
    """A metric that nobody looks at is a cost; each that is left out has its reason here."""
    asked = [*expressions.of_rules(), *expressions.of_dashboards()]
    used = {name for one in asked for name, _ in reader.selectors(one.expr)}
    ours = {name for name in scraped.labels if name.startswith("pilotage_")}
    ours -= {name for name in ours if name.endswith(("_sum", "_count", "_created"))}
    aside = {
        "pilotage_requests_total": "by route, for looking closer",
        "pilotage_batch_queue_seconds_bucket": "for tuning batches",
        "pilotage_batch_requests_bucket": "for tuning batches",
        "pilotage_batch_rows_bucket": "for tuning batches",
        "pilotage_batch_model_seconds_bucket": "for tuning batches",
        "pilotage_version_scores_total": "for analyses of canaries, in charts/model",
        "pilotage_version_rows_total": "for sizing",
        "pilotage_rows_total": "for sizing",
        "pilotage_labels_total": "for looking closer",
        "pilotage_refused_requests_total": "clients' errors",
        "pilotage_access_log_dropped_lines_total": "of the log alone",
        "pilotage_snooze_end_timestamp_seconds": "a person's wish",
        "pilotage_trigger_last_end_timestamp_seconds": "runs tell the same",
        "pilotage_approvals_pending": "since when the oldest waits is shown",
        "pilotage_window_version": "for looking closer",
        "pilotage_window_requests": "for looking closer",
        "pilotage_window_errors": "for looking closer",
        "pilotage_window_features": "for looking closer",
        "pilotage_window_judged_timestamp_seconds": "for looking closer",
        "pilotage_window_latency_p99_seconds": "the server tells it at once",
        "pilotage_leader_lease_end_timestamp_seconds": "pilotage_leader says whether it holds",
        "pilotage_audit_records_total": "for looking closer",
        "pilotage_audit_verified_records": "for looking closer",
    }
    assert ours - used - aside.keys() == set()
    assert aside.keys() - ours == set(), "a reason for what is not told"
    assert aside.keys() & used == set(), "a reason for what is looked at"


def test_series_stay_few(scraped: Scraped) -> None:
    assert scraped.series < 1200


def test_the_canaries_latency_has_a_bucket_near_any_objective() -> None:
    """Burn rates count against the objective itself; quantiles are interpolated within these."""
    for objective in (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1.0):
        assert min(bound for bound in BOUNDS_SECONDS if bound >= objective) <= 2.5 * objective
