"""One pilot in service: objectives, traffic, versions, model servers."""

from __future__ import annotations

from typing import Any

from panels import Panel, Query, Row, board, variable

_PILOT = 'pilot=~"$pilot"'
_NAMESPACE = 'namespace=~"$namespace"'
_OF = f"{{{_PILOT}, {_NAMESPACE}}}"
_BUDGET = ((None, "green"), (0.5, "orange"), (1.0, "red"))
_BAD = ((None, "green"), (1, "red"))
_GOOD = ((None, "red"), (1, "green"))


def _burn(kind: str, objective: str, window: str) -> str:
    objective = f'pilotage:requests:objective_ratio{{objective="{objective}"}}'
    return f"max by (pilot) (pilotage:{kind}:ratio_rate{window}{_OF}) / (1 - scalar({objective}))"


def build() -> dict[str, Any]:
    """The dashboard."""
    variables = [
        variable("namespace", "Namespace", "label_values(pilotage_pilot_requests_total, namespace)"),
        variable(
            "pilot", "Pilot", 'label_values(pilotage_pilot_requests_total{namespace=~"$namespace"}, pilot)'
        ),
    ]
    rows = [_objectives(), _traffic(), _versions(), _servers()]
    text = "Whether a pilot's predictions come as promised, and why not."
    return board("pilotage-service", "Pilotage: service of a pilot", text, rows, variables)


def _objectives() -> Row:
    return Row("Objectives", [*_kept(), *_promised(), *_burning()])


def _kept() -> list[Panel]:
    return [
        Panel(
            "Answered, 3 days",
            "Share of prediction requests that the server did not fail; 99.9 % are promised.",
            [Query(f"1 - max by (pilot) (pilotage:errors:ratio_rate3d{_OF})", "{{pilot}}")],
            unit="percentunit",
            kind="stat",
            width=6,
            height=5,
            decimals=3,
            least=None,
            thresholds=((None, "red"), (0.999, "green")),
        ),
        Panel(
            "In time, 3 days",
            "Share of prediction requests within serve.p99_ms of pilot.yaml; 99 % are promised.",
            [Query(f"1 - max by (pilot) (pilotage:slow:ratio_rate3d{_OF})", "{{pilot}}")],
            unit="percentunit",
            kind="stat",
            width=6,
            height=5,
            decimals=3,
            least=None,
            thresholds=((None, "red"), (0.99, "green")),
        ),
    ]


def _promised() -> list[Panel]:
    return [
        Panel(
            "Time that is promised",
            "serve.p99_ms of pilot.yaml.",
            [Query(f"max by (pilot) (pilotage_pilot_latency_objective_seconds{_OF})", "{{pilot}}")],
            unit="s",
            kind="stat",
            width=6,
            height=5,
        ),
        Panel(
            "Replicas that are ready",
            "Model servers that have a model of each of their pilots.",
            [
                Query(
                    f"count by (pilot) (pilotage_pilot_info{_OF}"
                    " and on (namespace, instance) pilotage_ready == 1)",
                    "{{pilot}}",
                )
            ],
            kind="stat",
            width=6,
            height=5,
            thresholds=_GOOD,
        ),
    ]


def _burning() -> list[Panel]:
    return [
        Panel(
            f"Budget of {name}, how fast it burns",
            "1 uses up the budget of 30 days in 30 days. 14.4 over an hour and 6 over six hours page.",
            [
                Query(_burn(kind, objective, window), "{{pilot}} " + window)
                for window in ("5m", "1h", "6h", "3d")
            ],
            width=12,
            thresholds=_BUDGET,
        )
        for name, kind, objective in (
            ("failures", "errors", "availability"),
            ("slow answers", "slow", "latency"),
        )
    ]


def _traffic() -> Row:
    predicting = 'route=~".*(predict|infer|invocations|ModelInfer)"'
    times = f"rate(pilotage_request_duration_seconds_bucket{{{predicting}, {_NAMESPACE}}}[5m])"
    panels = [
        Panel(
            "Requests",
            "Prediction requests a second, by any protocol.",
            [Query(f"sum by (pilot) (rate(pilotage_pilot_requests_total{_OF}[5m]))", "{{pilot}}")],
            unit="reqps",
        ),
        Panel(
            "Failed",
            "Answered 500 and above.",
            [Query(f"sum by (pilot) (rate(pilotage_pilot_errors_total{_OF}[5m]))", "{{pilot}}")],
            unit="reqps",
        ),
        Panel(
            "Turned away, by reason",
            "Overload, memory, deadlines and rates, of all model servers in the namespace.",
            [
                Query(
                    f"sum by (reason) (rate(pilotage_shed_requests_total{{{_NAMESPACE}}}[5m]))", "{{reason}}"
                )
            ],
            unit="reqps",
        ),
        Panel(
            "Time of an answer",
            "Of all prediction routes of the namespace; within a bucket it is interpolated.",
            [
                Query(f"histogram_quantile({share}, sum by (le) ({times}))", f"p{share:.0%}".replace("%", ""))
                for share in (0.5, 0.9, 0.99)
            ],
            unit="s",
            width=12,
        ),
        Panel(
            "Waiting",
            "Prediction requests that wait or are being answered, and requests in progress.",
            [
                Query(f"sum(pilotage_queue_depth{{{_NAMESPACE}}})", "predictions"),
                Query(f"sum(pilotage_requests_in_flight{{{_NAMESPACE}}})", "requests"),
            ],
            width=12,
        ),
    ]
    return Row("Traffic", panels)


def _versions() -> Row:
    model = f"rate(pilotage_version_model_seconds_bucket{_OF}[5m])"
    panels = [
        Panel(
            "Requests by version",
            "During a canary, how much each version answers.",
            [
                Query(
                    f"sum by (pilot, version) (rate(pilotage_version_requests_total{_OF}[5m]))",
                    "{{pilot}} {{version}}",
                )
            ],
            unit="reqps",
        ),
        Panel(
            "Failures by version",
            "Requests that a version could not answer.",
            [
                Query(
                    f"sum by (pilot, version) (rate(pilotage_version_failures_total{_OF}[5m]))",
                    "{{pilot}} {{version}}",
                )
            ],
            unit="reqps",
        ),
        Panel(
            "Time of the model, 99th percentile",
            "Of one call, which may be for a batch of requests.",
            [
                Query(
                    f"histogram_quantile(0.99, sum by (le, pilot, version) ({model}))",
                    "{{pilot}} {{version}}",
                )
            ],
            unit="s",
        ),
        Panel(
            "Version that serves",
            "The champion of each model server; steps are releases.",
            [
                Query(f"max by (pilot) (pilotage_model_version{_OF})", "{{pilot}} newest"),
                Query(f"min by (pilot) (pilotage_model_version{_OF})", "{{pilot}} oldest"),
            ],
            decimals=0,
        ),
        Panel(
            "Loaded since",
            "Age of the version in memory, oldest replica.",
            [Query(f"time() - min by (pilot) (pilotage_model_loaded_timestamp_seconds{_OF})", "{{pilot}}")],
            unit="s",
        ),
        Panel(
            "Versions in memory",
            "In which form they answer.",
            [Query(f"count by (pilot, version, form) (pilotage_model_info{_OF})", "")],
            kind="table",
            names={"Value": "replicas"},
        ),
    ]
    return Row("Versions", panels)


def _servers() -> Row:
    of = f"{{{_NAMESPACE}}}"
    ours = f" and on (namespace, instance) pilotage_workers{of}"
    panels = [
        Panel(
            "Memory",
            "Resident, of all processes of a server together.",
            [Query(f"process_resident_memory_bytes{of}{ours}", "{{instance}}")],
            unit="bytes",
        ),
        Panel(
            "Processor",
            "Cores in use.",
            [Query(f"rate(process_cpu_seconds_total{of}[5m]){ours}", "{{instance}}")],
        ),
        Panel(
            "Why batches were released",
            "`full` and `turn` under load, `idle` and `alone` without.",
            [Query(f"sum by (reason) (rate(pilotage_batches_total{of}[5m]))", "{{reason}}")],
            unit="ops",
        ),
        Panel(
            "Lost for the monitor",
            "Rows that were served and not counted, and flushes that failed, in five minutes.",
            [
                Query(f"sum(increase(pilotage_recorder_dropped_rows_total{of}[5m]))", "rows"),
                Query(f"sum(increase(pilotage_recorder_flush_failures_total{of}[5m]))", "flushes"),
            ],
            width=12,
            thresholds=_BAD,
        ),
        Panel(
            "Swaps",
            "Versions that became live and attempts that failed, in five minutes.",
            [
                Query(f"sum(increase(pilotage_swaps_total{of}[5m]))", "live"),
                Query(f"sum(increase(pilotage_swap_failures_total{of}[5m]))", "failed"),
            ],
            width=12,
        ),
    ]
    return Row("Model servers", panels)
