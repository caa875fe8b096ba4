"""The process that asks `codecarbon` what a processor draws: the only importer of that library.

`python -m pilotage.core.costs.hardware PROCESSOR PROCESSORS COUNTRY` writes one JSON object. It
reads the tables that the library brings and never a network.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib import metadata
from typing import Any

_WATTS_PER_UNKNOWN_CPU = 4.0
"""What codecarbon takes for each logical CPU of a processor that it does not know."""


def describe(processor: str, processors: int, country: str) -> dict[str, Any]:
    """What `powers.Power` holds."""
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    from codecarbon.core.cpu import TDP
    from codecarbon.external.ram import RAM
    from codecarbon.input import DataSource

    source = f"codecarbon {metadata.version('codecarbon')}"
    data: Any = DataSource  # without types
    table = data().get_cpu_power_data()
    lookup = TDP.__new__(TDP)  # its constructor looks at this machine's processor, ours is named
    match = lookup._get_matching_cpu(processor, table) if processor else None
    if match:
        watts = float(table.loc[table["Name"] == match, "TDP"].iloc[0])
        per_cpu = watts / processors
        by = f"{source}: {watts:g} W of {match}, by {processors} logical CPUs"
    else:
        per_cpu = _WATTS_PER_UNKNOWN_CPU
        by = f"{source}: {per_cpu:g} W for each logical CPU, since it does not know `{processor}`"
    memory = RAM(tracking_mode="machine")
    total_gb = memory.machine_memory_GB
    mix = data().get_global_energy_mix_data().get(country, {})
    intensity = mix.get("carbon_intensity")
    return {
        "watts_per_cpu": per_cpu,
        "watts_per_gb": float(memory.total_power().W) / total_gb if total_gb else 0.0,
        "by": by,
        "carbon_kg_per_kwh": None if intensity is None else float(intensity) / 1000,
        "carbon_by": "" if intensity is None else f"{source}: {mix.get('country_name', country)}",
    }


def main() -> None:
    """Entry point."""
    processor, processors, country = sys.argv[1:4]
    found = describe(processor, max(1, int(processors)), country)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
