"""What a machine draws while it works, as `codecarbon` knows it, asked once and kept.

codecarbon's tracker takes half a second of CPU time to begin and measures the whole machine
all the while, which a step of a tenth of a second cannot bear. Its estimate for a process is
the processor's power divided by its logical CPUs, times CPU time; only the first factor needs
codecarbon. A process of its own looks it up, and the home keeps it. Nothing asks a network.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pilotage.core import storage
from pilotage.core.artifacts.bases import Part
from pilotage.core.costs import prices, usages
from pilotage.core.settings import Settings

logger = logging.getLogger(__name__)

FILE = "energy.json"
"""In the home: what was looked up, by processor and country."""
_SECONDS = 60
_LIBRARY = "codecarbon"


class Power(Part):
    """What a machine draws."""

    watts_per_cpu: float
    """Of one busy logical CPU."""
    watts_per_gb: float = 0.0
    """Of memory that is taken up."""
    by: str
    """Where that is from."""
    carbon_kg_per_kwh: float | None = None
    carbon_by: str = ""


class Lookup(NamedTuple):
    """What was found, or why nothing was."""

    power: Power | None
    reason: str = ""


def find(settings: Settings, processor: str = "", processors: int = 0) -> Lookup:
    """The power of a machine with such a processor; of this one where none is named."""
    table = prices.load(settings)
    given = table.watts_per_cpu if table is not None else None
    intensity = table.carbon_kg_per_kwh if table is not None else None
    name, count = processor or usages.processor(), processors or usages.measured(0.0, 0.0).processors
    needed = given is None or (intensity is None and bool(settings.country))
    known = _look_up(settings.home, name, count, settings.country) if needed else Lookup(None)
    carbon = intensity if intensity is not None else known.power.carbon_kg_per_kwh if known.power else None
    told = "carbon_kg_per_kwh" if intensity is not None else known.power.carbon_by if known.power else ""
    if given is not None:
        by = "watts_per_cpu in the table of prices"
        return Lookup(Power(watts_per_cpu=given, by=by, carbon_kg_per_kwh=carbon, carbon_by=told))
    if known.power is None:
        return known
    return Lookup(known.power.model_copy(update={"carbon_kg_per_kwh": carbon, "carbon_by": told}))


@lru_cache(maxsize=64)
def _look_up(home: Path, processor: str, processors: int, country: str) -> Lookup:
    key = f"{processor} x {processors} in {country or 'no country'}"
    kept = _kept(home)
    if key in kept:
        return Lookup(kept[key])
    found = _ask(processor, processors, country)
    if found.power is not None:
        document = {name: part.model_dump() for name, part in {**kept, key: found.power}.items()}
        try:
            storage.write_file(home / FILE, json.dumps(document, indent=2).encode())
        except OSError as error:
            logger.debug("what is known of power cannot be kept: %s", error)
    return found


def _kept(home: Path) -> dict[str, Power]:
    try:
        content = json.loads((home / FILE).read_bytes())
        return {name: Power.model_validate(part) for name, part in content.items()}
    except (OSError, ValueError, AttributeError):
        return {}


@lru_cache(maxsize=64)
def _ask(processor: str, processors: int, country: str) -> Lookup:
    """Ask codecarbon in a process of its own, so that this one is not slowed by what it imports."""
    if importlib.util.find_spec(_LIBRARY) is None:
        return Lookup(
            None,
            'codecarbon is not installed: `pip install "pilotage[energy]"`, or set `watts_per_cpu` in '
            "PILOTAGE_PRICES",
        )
    words = [sys.executable, "-m", "pilotage.core.costs.hardware", processor, str(processors), country]
    try:
        done = subprocess.run(  # noqa: S603 - our own module in our own interpreter
            words, capture_output=True, timeout=_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
        return Lookup(Power.model_validate_json(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        logger.warning("codecarbon did not tell what this machine draws: %s", error)
        return Lookup(None, f"codecarbon did not tell what this machine draws: {type(error).__name__}")
