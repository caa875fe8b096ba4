"""What is used is measured, what it comes to is worked out, and nothing that is not known is made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pilotage.core import errors, settings
from pilotage.core.artifacts import Basis, Usage
from pilotage.core.costs import counters, estimates, gpus, powers, prices, usages

TABLE = {
    "currency": "EUR",
    "cpu_hour": 0.05,
    "gpu_hour": {"A100": 2.0, "*": 1.0},
    "memory_gb_hour": 0.005,
    "watts_per_cpu": 10,
    "carbon_kg_per_kwh": 0.4,
}
HOUR = Usage(wall_seconds=3600, cpu_seconds=7200, peak_memory_bytes=2 * 10**9)


def installation(home: Path, table: object = None, **more: str) -> settings.Settings:
    return settings.load(home=home, prices="" if table is None else json.dumps(table), **more)


def test_children_that_ended_are_counted():
    clock = usages.Clock()
    work = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    used = clock.read()
    assert used.cpu_seconds >= 0.3
    assert used.wall_seconds > 0
    assert used.peak_memory_bytes > 1 << 20
    assert used.processors == os.cpu_count()


def test_a_price_is_hours_times_what_they_cost(tmp_path: Path):
    bill = estimates.bill(installation(tmp_path, TABLE), HOUR)
    assert bill.cost is not None
    assert bill.cost.cpu == pytest.approx(2 * 0.05)
    assert bill.cost.memory == pytest.approx(2 * 0.005)
    assert bill.cost.total == pytest.approx(0.11)
    assert bill.energy is not None
    assert bill.energy.kwh == pytest.approx(2 * 10 / 1000)
    assert bill.energy.co2_kg == pytest.approx(0.008)
    assert (bill.energy.basis, bill.energy_unknown) == (Basis.ESTIMATED, "")


@pytest.mark.parametrize(("gpu", "paid"), [("A100", 2.0), ("T4", 1.0)])
def test_gpus_are_priced_by_type(tmp_path: Path, gpu: str, paid: float):
    used = HOUR.model_copy(update={"gpu": gpu, "gpu_seconds": 3600.0})
    bill = estimates.bill(installation(tmp_path, TABLE), used)
    assert bill.cost is not None
    assert bill.cost.gpu == paid
    assert bill.energy is None
    assert "gpu_watts" in bill.energy_unknown
    drawing = estimates.bill(installation(tmp_path, {**TABLE, "gpu_watts": 300}), used)
    assert drawing.energy is not None
    assert drawing.energy.kwh == pytest.approx(0.02 + 0.3)


def test_without_prices_there_is_no_cost_and_what_has_no_price_is_named(tmp_path: Path):
    bare = estimates.bill(installation(tmp_path, {"currency": "EUR", "watts_per_cpu": 5}), HOUR)
    assert bare.cost is not None
    assert bare.cost.total == 0
    assert bare.cost.unpriced == ("cpu", "memory")
    assert bare.energy is not None
    assert bare.energy.co2_kg is None
    assert "PILOTAGE_COUNTRY" in bare.energy_unknown
    used = Usage(wall_seconds=1, cpu_seconds=1, joules=3.6e6)
    assert prices.load(installation(tmp_path)) is None
    measured = estimates.bill(installation(tmp_path, TABLE), used).energy
    assert measured is not None
    assert (measured.kwh, measured.basis) == (1.0, Basis.MEASURED)
    assert "RAPL" in measured.by


def test_bills_add_up(tmp_path: Path):
    one = estimates.bill(installation(tmp_path, TABLE), HOUR)
    both = estimates.together([one, one])
    assert both.cost is not None
    assert one.cost is not None
    assert both.cost.total == pytest.approx(2 * one.cost.total)
    assert both.cpu_seconds == 2 * one.cpu_seconds
    assert both.peak_memory_bytes == one.peak_memory_bytes
    unknown = one.model_copy(update={"energy": None, "energy_unknown": "no"})
    assert estimates.together([one, unknown]).energy is None
    assert estimates.together([one, unknown]).energy_unknown == "no"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"currency": "EUR", "cpu_hours": 1}', "cpu_hours"),
        ('{"currency": "euro"}', "currency"),
        ('{"currency": "EUR", "cpu_hour": -1}', "cpu_hour"),
        ("{no", "no table of prices"),
        ("/nowhere/prices.json", "cannot be read"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(tmp_path: Path, text: str, told: str):
    with pytest.raises(errors.SettingsError, match=told):
        prices.load(settings.load(home=tmp_path, prices=text))


def test_a_table_may_be_a_file(tmp_path: Path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(TABLE))
    found = prices.load(settings.load(home=tmp_path, prices=str(file)))
    assert found is not None
    assert found.of_gpu("anything") == 1.0


def test_what_codecarbon_knows_is_asked_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("codecarbon", reason="is asked what processors draw")
    chosen = settings.load(home=tmp_path, country="DEU")
    found = powers.find(chosen, "Intel(R) Xeon(R) Platinum 8175M CPU @ 2.50GHz", 96)
    assert found.power is not None
    assert 0.5 < found.power.watts_per_cpu < 10
    assert "8175M" in found.power.by
    assert found.power.carbon_kg_per_kwh is not None
    assert 0.1 < found.power.carbon_kg_per_kwh < 1
    assert "Germany" in found.power.carbon_by
    for cached in (powers._look_up, powers._ask):
        cached.cache_clear()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was asked again"))
    assert powers.find(chosen, "Intel(R) Xeon(R) Platinum 8175M CPU @ 2.50GHz", 96) == found


def test_without_codecarbon_energy_is_not_known_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(powers, "_LIBRARY", "no_such_library")
    powers._ask.cache_clear()
    bill = estimates.of_cpu_seconds(installation(tmp_path), 10.0)
    powers._ask.cache_clear()
    assert bill.energy is None
    assert 'pip install "pilotage[energy]"' in bill.energy_unknown
    assert bill.cost is None
    assert bill.cpu_seconds == 10.0


def test_counters_of_the_processor_are_shared_by_cpu_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number, (name, joules) in enumerate((("package-0", 100), ("dram", 50), ("core", 10**6))):
        domain = tmp_path / f"intel-rapl:{number}"
        domain.mkdir()
        (domain / "name").write_text(f"{name}\n")
        (domain / "energy_uj").write_text(str(joules * 10**6))
        (domain / "max_energy_range_uj").write_text(str(200 * 10**6))
    busy = iter([10.0, 14.0])
    monkeypatch.setattr(counters, "_busy_seconds", lambda: next(busy))
    begin = counters.mark(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text(str(20 * 10**6))  # it was full and began again
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text(str(60 * 10**6))
    assert counters.since(begin, 1.0, tmp_path) == pytest.approx((120 + 10) / 4)
    assert counters.mark(tmp_path / "nowhere") is None
    assert counters.since(None, 1.0, tmp_path) is None


def test_a_gpu_counts_while_it_is_open(tmp_path: Path):
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    assert gpus.held(devices=tmp_path) == frozenset()
    with (tmp_path / "nvidia0").open(), (tmp_path / "nvidiactl").open():
        assert gpus.held([os.getpid(), 2**22 + 1], devices=tmp_path) == {"nvidia0"}
    assert gpus.held(devices=tmp_path / "none") == frozenset()
