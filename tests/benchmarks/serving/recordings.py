"""What monitoring costs: windows and a row log of 1 % of the rows, against a server that records nothing.

The rows follow each other in time, as those of live traffic do: they fall in one window or two.
"""

from __future__ import annotations

import statistics
from typing import Any

import orjson
from tests.benchmarks.serving import loads
from tests.benchmarks.serving.contenders import BY_NAME, OURS, with_ids
from tests.benchmarks.serving.fleets import Fleet
from tests.benchmarks.serving.paces import Pace
from tests.benchmarks.serving.processes import running
from tests.benchmarks.serving.stages import BODIES, Stage

CONNECTIONS = 64
_ON, _OFF = {"PILOTAGE_ROW_SAMPLE": "0.01"}, {"PILOTAGE_RECORD": "false"}


def measure(stage: Stage, pace: Pace) -> dict[str, Any]:
    """Both servers in turn, the order changing with each round; the ratio is the median of the rounds'."""
    ours = BY_NAME[OURS]
    bodies = [orjson.dumps(with_ids(stage, [row])) for row in stage.rows[:BODIES]]
    payload = loads.write(stage.folder / "payloads" / "with-ids-1", 1, bodies)
    rates: dict[str, list[float]] = {"on": [], "off": []}
    errors = 0
    with running(ours.start(stage, **_ON)) as on, running(ours.start(stage, **_OFF)) as off:
        fleet = Fleet(stage, {"on": on, "off": off})
        for server in (on, off):
            loads.closed(server, payload, CONNECTIONS, 2)
            server.freeze()
        for turn in range(pace.recording_rounds):
            for name in ("on", "off") if turn % 2 else ("off", "on"):
                with fleet.only(name) as server:
                    found = loads.closed(server, payload, CONNECTIONS, pace.recording_seconds)
                rates[name].append(found.rate)
                errors += found.errors
    ratios = [on_ / off_ for on_, off_ in zip(rates["on"], rates["off"], strict=True)]
    return {
        "rows": 1,
        "connections": CONNECTIONS,
        "on": [round(rate, 1) for rate in rates["on"]],
        "off": [round(rate, 1) for rate in rates["off"]],
        "ratio": round(statistics.median(ratios), 4),
        "errors": errors,
    }
