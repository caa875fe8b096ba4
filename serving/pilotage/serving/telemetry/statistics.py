"""What each version has answered, in the words of the statistics extension that Triton gave the protocol.

The extension belongs to no standard, but its clients and load generators ask for it. Reading and
writing bodies is measured with neither the queue nor the model, so `compute_input` and
`compute_output` stay at zero; batch sizes are rounded up to a power of two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pilotage.serving.telemetry import readings
from pilotage.serving.telemetry.readings import OTHER, Reading, VersionMeter

_NOTHING = {"count": 0, "ns": 0}


def describe(reading: Reading, pilot: str, version: str | None = None) -> list[dict[str, Any]]:
    """Statistics of the versions of a pilot that are loaded or counted, or of one of them; newest first."""
    found = {meter.version: meter for meter in reading.versions if meter.pilot == pilot}
    found.pop(OTHER, None)
    for loaded in reading.loaded:
        if loaded.pilot == pilot:
            found.setdefault(str(loaded.version), VersionMeter(pilot, str(loaded.version)))
    asked: Iterable[VersionMeter] = found.values()
    if version is not None:
        asked = (meter for meter in asked if meter.version == version)
    return [_describe(meter) for meter in sorted(asked, key=lambda meter: -int(meter.version))]


def _describe(meter: VersionMeter) -> dict[str, Any]:
    return {
        "name": meter.pilot,
        "version": meter.version,
        "last_inference": int(meter.last * 1000),
        "inference_count": meter.rows,
        "execution_count": meter.executions,
        "inference_stats": {
            "success": _duration(meter.requests, meter.waited_seconds + meter.took_seconds),
            "fail": _duration(meter.failures, meter.failed_seconds),
            "queue": _duration(meter.requests, meter.waited_seconds),
            "compute_input": _NOTHING,
            "compute_infer": _duration(meter.executions, meter.took_seconds),
            "compute_output": _NOTHING,
            "cache_hit": _NOTHING,
            "cache_miss": _NOTHING,
        },
        "batch_stats": [
            {
                "batch_size": 1 << power,
                "compute_input": _NOTHING,
                "compute_infer": _duration(count, meter.sizes_seconds[power]),
                "compute_output": _NOTHING,
            }
            for power, count in zip(range(readings.SIZES), meter.sizes, strict=True)
            if count
        ],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": int(seconds * 1e9)}
