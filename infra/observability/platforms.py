"""The platform: health, retraining, people and webhooks, the console."""

from __future__ import annotations

from typing import Any

from panels import Panel, Query, Row, board

_BAD = ((None, "green"), (1, "red"))
_GOOD = ((None, "red"), (1, "green"))
_AGE = ((None, "green"), (7 * 86400, "orange"), (30 * 86400, "red"))


def build() -> dict[str, Any]:
    """The dashboard."""
    rows = [_health(), _retraining(), _people(), _console()]
    text = "Whether the platform does its work: leader, runs, schedules, triggers, webhooks, audit."
    return board("pilotage-platform", "Pilotage: the platform", text, rows, [], since="now-24h")


def _health() -> Row:
    words = {"0": "no", "1": "yes"}
    panels = [
        Panel(
            title,
            text,
            [Query(expr)],
            kind="stat",
            width=4,
            height=4,
            thresholds=thresholds,
            mappings=mappings,
        )
        for title, text, expr, thresholds, mappings in (
            ("Database answers", "Asked with each scrape.", "max(pilotage_database_up)", _GOOD, words),
            ("Has a leader", "Without one nothing is started.", "max(pilotage_leader)", _GOOD, words),
            ("Consoles", "Replicas that are scraped.", "count(pilotage_build_info)", _GOOD, {}),
            ("Pilots", "Known to the installation.", "max(pilotage_pilots)", _GOOD, {}),
            (
                "Open alarms",
                "Of drift and performance.",
                'sum(max by (pilot, cause) (pilotage_alarms{state="open"})) or vector(0)',
                _BAD,
                {},
            ),
            (
                "Audit broken",
                "A record was changed, removed or moved.",
                "max(pilotage_audit_broken)",
                _BAD,
                words,
            ),
        )
    ]
    return Row("Health", panels)


def _retraining() -> Row:
    return Row("Retraining", [*_runs(), *_outcomes(), *_requests(), *_releases()])


def _runs() -> list[Panel]:
    return [
        Panel(
            "Runs that ended",
            "In an hour, by how.",
            [
                Query(
                    "sum by (state) (max by (pilot, state) (increase(pilotage_runs_total[1h])))", "{{state}}"
                )
            ],
        ),
        Panel(
            "Runs in line and under way",
            "Waiting runs are started by the leader.",
            [Query("sum by (state) (max by (pilot, state) (pilotage_runs_active))", "{{state}}")],
        ),
        Panel(
            "Oldest run in line",
            "How long it has waited.",
            [Query('time() - min(pilotage_run_oldest_timestamp_seconds{state="pending"})', "waits")],
            unit="s",
            thresholds=((None, "green"), (3600, "red")),
        ),
    ]


def _outcomes() -> list[Panel]:
    failed = 'pilotage_run_last_end_timestamp_seconds{state=~"failed|died"}'
    succeeded = 'pilotage_run_last_end_timestamp_seconds{state="succeeded"}'
    return [
        Panel(
            "Last success",
            "Age of the last run that succeeded; longest first.",
            [
                Query(
                    f"topk(20, time() - max by (pilot) ({succeeded}))",
                    "{{pilot}}",
                )
            ],
            unit="s",
            kind="bargauge",
            width=12,
            thresholds=_AGE,
        ),
        Panel(
            "Last run failed",
            "Pilots without a success after their last failure, and how long ago that was.",
            [
                Query(
                    f"(time() - max by (pilot) ({failed}))"
                    f" and on (pilot) max by (pilot) ({failed})"
                    f" > on (pilot) (max by (pilot) ({succeeded})"
                    f" or on (pilot) 0 * max by (pilot) ({failed}))",
                    "{{pilot}}",
                )
            ],
            unit="s",
            kind="bargauge",
            width=12,
            thresholds=((None, "red"),),
        ),
    ]


def _requests() -> list[Panel]:
    return [
        Panel(
            "Schedules",
            "Time until the next moment; below zero it is late.",
            [
                Query(
                    "bottomk(20, min by (pilot) (pilotage_schedule_next_timestamp_seconds) - time())",
                    "{{pilot}}",
                )
            ],
            unit="s",
            kind="bargauge",
            width=12,
            least=None,
            thresholds=((None, "red"), (0, "green")),
        ),
        Panel(
            "Requests to retrain",
            "Open ones are to be taken up; waiting ones wait for a cooldown, budget, snooze or quiet hours.",
            [Query("sum by (state) (max by (pilot, state) (pilotage_triggers))", "{{state}}")],
            width=12,
        ),
    ]


def _releases() -> list[Panel]:
    return [
        Panel(
            "Releases under way",
            "Versions that git is to have or has, and the cluster does not wholly run yet; how long.",
            [
                Query(
                    "time() - min by (pilot, environment, stage) (pilotage_release_oldest_timestamp_seconds)",
                    "{{pilot}} {{environment}} {{stage}}",
                )
            ],
            unit="s",
            kind="bargauge",
            width=12,
            thresholds=((None, "green"), (7200, "red")),
        ),
        Panel(
            "Releases under way, by stage",
            "Asked ones wait for their commit, committed ones for the cluster or a person.",
            [
                Query(
                    "sum by (stage) (max by (pilot, environment, stage) (pilotage_releases))",
                    "{{stage}}",
                )
            ],
            width=12,
        ),
    ]


def _people() -> Row:
    panels = [
        Panel(
            "Versions that wait for a person",
            "How long the oldest of each pilot has waited.",
            [Query("time() - min by (pilot) (pilotage_approval_oldest_timestamp_seconds)", "{{pilot}}")],
            unit="s",
            kind="bargauge",
            thresholds=((None, "green"), (86400, "orange"), (3 * 86400, "red")),
        ),
        Panel(
            "Webhooks",
            "Events that are still to be told, and those that were not told for a day.",
            [
                Query("max by (endpoint) (pilotage_webhook_deliveries_pending)", "{{endpoint}} to be told"),
                Query(
                    "max by (endpoint) (increase(pilotage_webhook_deliveries_dead_total[1h]))",
                    "{{endpoint}} given up",
                ),
            ],
        ),
        Panel(
            "Tokens in use that end within a week",
            "Make new ones before; `pilotage users token`.",
            [Query("max(pilotage_tokens_expiring)", "tokens")],
            kind="stat",
            thresholds=_BAD,
        ),
    ]
    return Row("People and others", panels)


def _console() -> Row:
    panels = [
        Panel(
            "Requests to the console, by status",
            "Of all replicas.",
            [Query("sum by (status) (rate(pilotage_console_requests_total[5m]))", "{{status}}")],
            unit="reqps",
            width=12,
        ),
        Panel(
            "Slowest routes",
            "99th percentile of the time until an answer began.",
            [
                Query(
                    "topk(8, histogram_quantile(0.99,"
                    " sum by (le, route) (rate(pilotage_console_request_duration_seconds_bucket[10m]))))",
                    "{{route}}",
                )
            ],
            unit="s",
            width=12,
        ),
        Panel(
            "Which console leads",
            "1 at the replica whose scheduler holds the lease.",
            [Query("pilotage_leader_here", "{{instance}}")],
            width=12,
            decimals=0,
        ),
        Panel(
            "Asking the database for these metrics",
            "It is asked at most once in five seconds by each replica.",
            [Query("pilotage_collection_seconds", "{{instance}}")],
            unit="s",
            width=12,
        ),
    ]
    return Row("Console", panels)
