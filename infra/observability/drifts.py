"""What the monitor found of all pilots: verdicts, distances, performance, value."""

from __future__ import annotations

from typing import Any

from panels import Panel, Query, Row, board, variable

_PILOT = 'pilot=~"$pilot"'
_AGE = ((None, "green"), (7 * 86400, "orange"), (30 * 86400, "red"))


def build() -> dict[str, Any]:
    """The dashboard."""
    variables = [variable("pilot", "Pilot", "label_values(pilotage_window_end_timestamp_seconds, pilot)")]
    text = "What the monitor found in the newest window of each pilot; its verdicts, see docs/monitoring.md."
    rows = [_verdicts(), _distances(), _performance(), _value()]
    return board("pilotage-drift", "Pilotage: drift and performance", text, rows, variables, since="now-7d")


def _verdicts() -> Row:
    of = f"{{{_PILOT}}}"
    panels = [
        Panel(
            "Alarms that are not over",
            "Of drift, and of performance.",
            [Query(f"max by (pilot, cause, state) (pilotage_alarms{of})", "")],
            kind="table",
            names={"Value": "alarms"},
        ),
        Panel(
            "Features that drifted",
            "In the newest window.",
            [Query(f"max by (pilot) (pilotage_window_drifted_features{of})", "{{pilot}}")],
            decimals=0,
        ),
        Panel(
            "Age of the newest window",
            "Since its end; beyond a few windows' length nobody watches.",
            [Query(f"time() - max by (pilot) (pilotage_window_end_timestamp_seconds{of})", "{{pilot}}")],
            unit="s",
        ),
    ]
    return Row("Verdicts", panels)


def _distances() -> Row:
    of = f"{{{_PILOT}}}"
    panels = [
        Panel(
            "Furthest feature",
            "Population stability index of the feature that is furthest from the reference.",
            [Query(f"max by (pilot) (pilotage_window_largest_psi{of})", "{{pilot}}")],
        ),
        Panel(
            "Scores",
            "Population stability index of what the model says.",
            [Query(f"max by (pilot) (pilotage_window_score_psi{of})", "{{pilot}}")],
        ),
        Panel(
            "Which features",
            "Those that drifted in the newest window, at most five of a pilot.",
            [Query(f"max by (pilot, feature) (pilotage_window_feature_psi{of})", "")],
            kind="table",
            names={"Value": "PSI"},
        ),
    ]
    return Row("How far", panels)


def _performance() -> Row:
    of = f"{{{_PILOT}}}"
    panels = [
        Panel(
            "Metric against the goal",
            "On the newest day that has it, from labels and estimated without them.",
            [
                Query(
                    f"max by (pilot, metric, ground) (pilotage_performance{of})",
                    "{{pilot}} {{metric}} by {{ground}}",
                ),
                Query(f"max by (pilot, metric) (pilotage_goal{of})", "{{pilot}} goal"),
            ],
            width=12,
            least=None,
        ),
        Panel(
            "Served and labelled rows",
            "Of the newest window.",
            [
                Query(f"max by (pilot) (pilotage_window_rows{of})", "{{pilot}} served"),
                Query(f"max by (pilot) (pilotage_window_labelled_rows{of})", "{{pilot}} labelled"),
            ],
            width=12,
        ),
        Panel(
            "Age of the champion",
            "Since it was decided.",
            [Query(f"time() - max by (pilot) (pilotage_champion_since_timestamp_seconds{of})", "{{pilot}}")],
            unit="s",
            kind="bargauge",
            width=12,
            thresholds=_AGE,
        ),
        Panel(
            "Champion and what serves",
            "Version that was decided, and that model servers say.",
            [
                Query(f"max by (pilot) (pilotage_champion_version{of})", "{{pilot}} decided"),
                Query(f"max by (pilot) (pilotage_model_version{of})", "{{pilot}} serves"),
            ],
            width=12,
            decimals=0,
        ),
    ]
    return Row("Performance", panels)


def _value() -> Row:
    of = f"{{{_PILOT}}}"
    panels = [
        Panel(
            "Gain of 30 days",
            "What all predictions have brought beyond the baseline, estimated from labelled rows.",
            [Query(f"max by (pilot, currency) (pilotage_gain_30d{of})", "{{pilot}} {{currency}}")],
            width=12,
            least=None,
            decimals=0,
        ),
        Panel(
            "Measured value of 30 days",
            "Of labelled rows alone, beside what the baseline would have brought.",
            [
                Query(f"max by (pilot, currency) (pilotage_value_30d{of})", "{{pilot}} {{currency}}"),
                Query(
                    f"max by (pilot, currency) (pilotage_baseline_30d{of})", "{{pilot}} {{currency}} baseline"
                ),
            ],
            width=12,
            least=None,
            decimals=0,
        ),
    ]
    return Row("Value", panels)
