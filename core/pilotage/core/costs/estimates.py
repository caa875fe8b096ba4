"""What used time comes to: energy, what that gave off, and money."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from pilotage.core.artifacts import Basis, Energy, Usage
from pilotage.core.artifacts.bases import Part
from pilotage.core.costs import powers, prices, usages
from pilotage.core.costs.powers import Lookup
from pilotage.core.costs.prices import Cost
from pilotage.core.settings import Settings

JOULES_PER_KWH = 3.6e6


class Bill(Part):
    """What was used, and what it comes to."""

    wall_seconds: float
    cpu_seconds: float
    gpu_seconds: float
    peak_memory_bytes: int
    memory_gb_seconds: float
    energy: Energy | None
    energy_unknown: str = ""
    """Why there is no energy, or no CO2."""
    cost: Cost | None
    """Null without a table of prices."""


def together(bills: Sequence[Bill]) -> Bill:
    """Several bills as one: energy is told where all of them have it, and measured where all of it is."""
    energies = [part.energy for part in bills if part.energy is not None]
    costs = [part.cost for part in bills if part.cost is not None]
    known = bool(energies) and len(energies) == len(bills)
    return Bill(
        wall_seconds=sum(part.wall_seconds for part in bills),
        cpu_seconds=sum(part.cpu_seconds for part in bills),
        gpu_seconds=sum(part.gpu_seconds for part in bills),
        peak_memory_bytes=max((part.peak_memory_bytes for part in bills), default=0),
        memory_gb_seconds=sum(part.memory_gb_seconds for part in bills),
        energy=_all(energies) if known else None,
        energy_unknown=next((part.energy_unknown for part in bills if part.energy_unknown), ""),
        cost=functools.reduce(Cost.__add__, costs) if costs and len(costs) == len(bills) else None,
    )


def _all(energies: Sequence[Energy]) -> Energy:
    released = [part.co2_kg for part in energies if part.co2_kg is not None]
    measured = all(part.basis is Basis.MEASURED for part in energies)
    return Energy(
        kwh=sum(part.kwh for part in energies),
        co2_kg=sum(released) if len(released) == len(energies) else None,
        basis=Basis.MEASURED if measured else Basis.ESTIMATED,
        by="; ".join(sorted({part.by for part in energies})),
    )


def bill(settings: Settings, usage: Usage) -> Bill:
    """What `usage` comes to.

    Raises:
        SettingsError: the table of prices is wrong.
    """
    energy, reason = energy_of(settings, usage)
    table = prices.load(settings)
    return Bill(
        wall_seconds=usage.wall_seconds,
        cpu_seconds=usage.cpu_seconds,
        gpu_seconds=usage.gpu_seconds,
        peak_memory_bytes=usage.peak_memory_bytes,
        memory_gb_seconds=usage.memory_gb_seconds,
        energy=energy,
        energy_unknown=reason,
        cost=None if table is None else prices.price(table, usage, energy),
    )


def of_cpu_seconds(
    settings: Settings,
    cpu_seconds: float,
    *,
    wall_seconds: float | None = None,
    gpu_seconds: float = 0.0,
    gpu: str = "",
    peak_memory_bytes: int = 0,
) -> Bill:
    """What work that is still to be done on this machine would come to.

    Memory is held for `wall_seconds`, as long as one CPU would take where that is left out.
    """
    used = usages.measured(cpu_seconds if wall_seconds is None else wall_seconds, cpu_seconds, peak_bytes=0)
    more = {"gpu_seconds": gpu_seconds, "gpu": gpu, "peak_memory_bytes": peak_memory_bytes}
    return bill(settings, used.model_copy(update=more))


def energy_of(settings: Settings, usage: Usage) -> tuple[Energy | None, str]:
    """Energy of `usage`, and why it, or its CO2, is not known; empty where all is."""
    found = powers.find(settings, usage.processor, usage.processors)
    gpu_kwh, gap = _of_gpus(settings, usage)
    if gap:
        return None, gap
    if usage.joules is not None:
        by = "the processor's own counters (RAPL), shared by CPU time"
        return _energy(usage.joules / JOULES_PER_KWH + gpu_kwh, Basis.MEASURED, by, found)
    if found.power is None:
        return None, found.reason
    watt_seconds = usage.cpu_seconds * found.power.watts_per_cpu
    watt_seconds += usage.memory_gb_seconds * found.power.watts_per_gb
    return _energy(watt_seconds / JOULES_PER_KWH + gpu_kwh, Basis.ESTIMATED, found.power.by, found)


def _energy(kwh: float, basis: Basis, by: str, found: Lookup) -> tuple[Energy, str]:
    intensity = found.power.carbon_kg_per_kwh if found.power else None
    co2 = None if intensity is None else kwh * intensity
    reason = "" if co2 is not None else "set PILOTAGE_COUNTRY, or `carbon_kg_per_kwh` in PILOTAGE_PRICES"
    return Energy(kwh=kwh, co2_kg=co2, basis=basis, by=by), reason


def _of_gpus(settings: Settings, usage: Usage) -> tuple[float, str]:
    if not usage.gpu_seconds:
        return 0.0, ""
    table = prices.load(settings)
    watts = table.gpu_watts if table is not None else {}
    drawn = watts.get(usage.gpu, watts.get(prices.ANY))
    if drawn is None:
        return 0.0, "GPUs were held and PILOTAGE_PRICES has no `gpu_watts`"
    return drawn * usage.gpu_seconds / JOULES_PER_KWH, ""
