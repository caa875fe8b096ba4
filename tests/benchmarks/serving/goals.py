"""What the server is to reach, as ratios and limits, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks.serving import overloads
from tests.benchmarks.serving.contenders import BY_NAME, LIMIT, MLFLOW, OURS
from tests.benchmarks.targets import Goal

TIMES_BEST_PEER = {1: 15.0, 10: 8.0, 100: 4.0}
"""Rows a request → times the throughput of the best peer, its batching included."""
TIMES_MLFLOW = 100.0
SHARE_OF_LIMIT = 0.6
SHARE_OF_MLFLOWS_START = 0.5
TIMES_HALF_LOAD = 3.0
REFUSAL_MS = 10.0
GROWTH = 0.05
"""Of memory, which is measured: what counts as none."""
SHARE_AFTER = 0.95
SHARE_RECORDING = 0.95


def judge(found: dict[str, Any]) -> list[Goal]:
    """The goals of every scenario that was measured."""
    judges: dict[str, Callable[[Any], Iterator[Goal]]] = {
        "throughput": _throughput, "cold_start": _cold_start, "tails": _tails, "overload": _overload,
        "recording": _recording, "swaps": _swaps,
    }  # fmt: skip
    return [goal for name, judging in judges.items() if name in found for goal in judging(found[name])]


def rates(throughput: dict[str, Any], rows: int, connections: int) -> dict[str, float]:
    """Contender → requests a second."""
    return {
        cell["contender"]: cell["rate"]
        for cell in throughput["cells"]
        if cell["rows"] == rows and cell["connections"] == connections
    }


def shapes(throughput: dict[str, Any]) -> list[tuple[int, int]]:
    """Rows and connections of every payload and load that was measured."""
    return sorted({(cell["rows"], cell["connections"]) for cell in throughput["cells"]})


def best_peer(found: dict[str, float]) -> str:
    """The quickest of the peers."""
    return max((name for name in found if BY_NAME[name].is_peer), key=lambda name: found[name])


def _throughput(found: dict[str, Any]) -> Iterator[Goal]:
    for rows, connections in shapes(found):
        all_ = rates(found, rows, connections)
        at = f"{rows} row{'s' * (rows > 1)}, {connections} connections"
        if rows == 1 and MLFLOW in all_:
            yield _times(
                f"{at}: times mlflow models serve", all_[OURS] / max(all_[MLFLOW], 0.1), TIMES_MLFLOW
            )
        if any(BY_NAME[name].is_peer for name in all_):
            best = best_peer(all_)
            text = f"{at}: times the best peer ({BY_NAME[best].title})"
            yield _times(text, all_[OURS] / max(all_[best], 0.1), TIMES_BEST_PEER[rows])
        if rows == 1 and LIMIT in all_:
            share = all_[OURS] / all_[LIMIT]
            text = f"{at}: share of the bare parser on uvicorn"
            yield Goal("throughput", text, f"≥ {SHARE_OF_LIMIT:.0%}", f"{share:.0%}", share >= SHARE_OF_LIMIT)
    errors = sum(cell["errors"] for cell in found["cells"] if cell["contender"] == OURS)
    yield Goal("throughput", "requests that Pilotage did not answer", "0", str(errors), errors == 0)


def _times(text: str, reached: float, wanted: float) -> Goal:
    return Goal("throughput", text, f"≥ {wanted:.0f}", f"{reached:.1f}", reached >= wanted)


def _cold_start(found: dict[str, Any]) -> Iterator[Goal]:
    seconds = {name: one["median"] for name, one in found["seconds"].items()}
    if MLFLOW in seconds:
        share = seconds[OURS] / seconds[MLFLOW]
        wanted = f"< {SHARE_OF_MLFLOWS_START:.0%}"
        text = "cold start to first answer, share of MLflow's"
        yield Goal("cold_start", text, wanted, f"{share:.0%}", share < SHARE_OF_MLFLOWS_START)


def _tails(found: list[dict[str, Any]]) -> Iterator[Goal]:
    for pair in found:
        ours, theirs = pair["ours_p99_ms"], pair["peer_p99_ms"]
        rows = f"{pair['rows']} row{'s' * (pair['rows'] > 1)}"
        text = f"p99 at {pair['rate']:,.0f} requests/s of {rows}, against {BY_NAME[pair['peer']].title}"
        met = ours < theirs and pair["ours_failures"] == 0
        yield Goal("tails", text, f"< {theirs:,.1f} ms", f"{ours:,.1f} ms", met)


def _overload(found: dict[str, Any]) -> Iterator[Goal]:
    half, twice = overloads.admitted_p99_ms(found["half"]), overloads.admitted_p99_ms(found["twice"])
    refused, lost = overloads.refused_p99_ms(found["twice"]), overloads.lost(found["twice"])
    first, last = found["memory_mb"][0], found["memory_mb"][-1]
    after = found["after"] / found["saturation"]

    def goal(text: str, wanted: str, reached: str, met: bool) -> Goal:
        return Goal("overload", f"at twice saturation: {text}", wanted, reached, met)

    times = twice / half if half else float("inf")
    yield goal("admitted p99, times that at half load", f"< {TIMES_HALF_LOAD:.0f}", f"{times:.1f}", times < 3)
    yield goal("p99 of refusals", f"≤ {REFUSAL_MS:.0f} ms", f"{refused:.1f} ms", 0 < refused <= REFUSAL_MS)
    yield goal("neither answered nor refused", "0", str(lost), lost == 0)
    growth = last / first - 1
    yield goal("memory growth", f"< {GROWTH:.0%}", f"{growth:+.1%}", growth < GROWTH)
    text = "throughput a second later, share of before"
    yield goal(text, f"≥ {SHARE_AFTER:.0%}", f"{after:.0%}", after >= SHARE_AFTER)


def _recording(found: dict[str, Any]) -> Iterator[Goal]:
    ratio = found["ratio"]
    text = "throughput with monitoring on, share of that without"
    yield Goal("recording", text, f"> {SHARE_RECORDING:.0%}", f"{ratio:.1%}", ratio > SHARE_RECORDING)


def _swaps(found: dict[str, Any]) -> Iterator[Goal]:
    text = f"requests that failed during {found['swaps']} swaps"
    yield Goal("swaps", text, "0", str(found["failed"]), found["failed"] == 0)
    before, after = found["before"], found["after"]
    growth = after["memory_mb"] / before["memory_mb"] - 1
    yield Goal("swaps", "memory growth over the swaps", f"< {GROWTH:.0%}", f"{growth:+.1%}", growth < GROWTH)
    for name in ("threads", "descriptors"):
        more = int(after[name] - before[name])
        yield Goal("swaps", f"{name} more than before", "≤ 2", f"{more:+d}", more <= 2)
