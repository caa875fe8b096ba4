"""Gates on costs are judged by what the steps left, and say why where nothing is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilotage.components.measures import costs
from pilotage.core import errors, gates, pilots, settings
from pilotage.core.artifacts import Latency, Usage
from pilotage.core.metrics import COST_MEASURES

TEXT = "version: 1\npilot: a\ngoal: {metric: r2}\ndata: {source: a.csv, target: y}\ngates:\n"
LATENCY = Latency(p50_ms=3.6, p90_ms=4.0, p99_ms=5.0, calls=10)
USED = {
    "ingest": Usage(wall_seconds=10, cpu_seconds=36),
    "train": Usage(wall_seconds=120, cpu_seconds=324, peak_memory_bytes=10**9),
}
PRICES = {"currency": "EUR", "cpu_hour": 10.0, "watts_per_cpu": 10.0, "carbon_kg_per_kwh": 0.5}


def found(home: Path, table: dict[str, object] | None, used: dict[str, Usage]) -> costs.Spent:
    spec = pilots.parse(TEXT + "".join(f"  - {{metric: {name}, max: 1}}\n" for name in sorted(COST_MEASURES)))
    chosen = settings.load(home=home, prices=json.dumps(table) if table else "")
    return costs.find(spec, chosen, used, LATENCY)


def test_costs_are_measured_from_what_steps_used(tmp_path: Path):
    spent = found(tmp_path, PRICES, USED)
    values = {str(name): value for (name, _), value in spent.values.items()}
    assert values["training_seconds"] == 120
    assert values["cost_per_run"] == pytest.approx(1.0)
    assert values["cost_per_thousand"] == pytest.approx(0.01)
    assert values["energy_kwh"] == pytest.approx(0.001)
    assert values["co2_kg"] == pytest.approx(0.0005)
    assert spent.gaps == {}
    assert spent.training == USED["train"]
    assert spent.training_cost is not None
    assert spent.training_cost.total == pytest.approx(0.9)
    assert "memory" in spent.training_cost.unpriced


def test_what_is_not_known_says_why(tmp_path: Path):
    spent = found(tmp_path, {"currency": "EUR", "watts_per_cpu": 1.0}, {})
    assert "without the cache" in spent.gaps["training_seconds"]
    assert spent.gaps.keys() == COST_MEASURES - {"cost_per_thousand"}
    assert spent.training_cost is None


def test_a_dear_model_does_not_pass(tmp_path: Path):
    spec = pilots.parse(TEXT + "  - {metric: cost_per_run, max: 0.5}\n")
    (verdict,) = gates.judge_all(spec.gates, found(tmp_path, PRICES, USED).values, {})
    assert not verdict.passed
    assert verdict.reason == "1 is above 0.5"


@pytest.mark.parametrize("name", sorted(COST_MEASURES))
def test_a_gate_on_costs_is_a_limit(name: str):
    with pytest.raises(errors.SpecError, match="says `max`"):
        pilots.parse(TEXT + f"  - {{metric: {name}, against: champion}}\n")
