"""What profiling two large frames and comparing them costs, everyone from the same two Parquet files."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.monitoring import children, tables
from tests.benchmarks.monitoring.children import Answer, Archive
from tests.benchmarks.monitoring.contenders import CONTENDERS, OURS, Contender
from tests.benchmarks.monitoring.paces import Pace

FURTHER = "further window"
"""The part of Pilotage's work that peers have no share in."""
_COSTS = ("cpu", "wall", "whole_cpu", "whole_wall", "peak_mb")


def measure(folder: Path, archive: Archive, chosen: Sequence[Contender], pace: Pace) -> dict[str, Any]:
    """Costs by contender, of Pilotage's further windows, and Pilotage's peak memory by rows."""
    job = _job(folder, pace.rows)
    name = f"speed-{pace.rows}"
    taken: dict[str, list[Answer]] = {contender.name: [] for contender in chosen}
    for turn in range(pace.rounds):
        for contender in chosen:
            if turn < contender.most_rounds:
                answer = children.run(contender, job, folder / "speed")
                taken[contender.name].append(without_further(answer))
    costs = {}
    for contender in CONTENDERS:
        if contender in chosen:
            archive.keep(name, contender, _summary(taken[contender.name]))
        if last := archive.last(name, contender):
            costs[contender.name] = {**last[0], "stored_at": last[1]}
    ours = next(one for one in chosen if one.name == OURS)
    return {
        "rows": pace.rows,
        "numbers": len(tables.NUMBERS),
        "categories": len(tables.CATEGORIES),
        "file_mb": round(Path(job["window"]).stat().st_size / 2**20, 1),
        "costs": costs,
        "further_cpu": [answer["further_cpu"] for answer in taken[OURS]],
        "memory_mb": {str(rows): _peak(ours, folder, rows) for rows in pace.memory_rows},
    }


def without_further(answer: Answer) -> Answer:
    """The costs of what everyone does; those of a further window, which only Pilotage is asked for, apart."""
    parts = dict(answer["parts"])
    further = parts.pop(FURTHER, {"cpu": 0.0, "wall": 0.0})
    less = {cost: answer[cost] - further["cpu" if "cpu" in cost else "wall"] for cost in _COSTS[:4]}
    return answer | less | {"parts": parts, "further_cpu": further["cpu"]}


def _job(folder: Path, rows: int) -> dict[str, Any]:
    files = [tables.large(folder / f"{rows}-{number}.parquet", rows, number=number) for number in range(3)]
    reference, window, further = (str(file) for file in files)
    return {"task": "speed", "reference": reference, "window": window, "further": [further]}


def _summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """The median of each cost, and what each round cost."""
    medians = {cost: statistics.median(answer[cost] for answer in answers) for cost in _COSTS}
    parts = {
        part: statistics.median(answer["parts"][part]["cpu"] for answer in answers)
        for part in answers[0]["parts"]
    }
    return medians | {"parts_cpu": parts, "rounds_cpu": [answer["cpu"] for answer in answers]}


def _peak(ours: Contender, folder: Path, rows: int) -> float:
    return float(children.run(ours, _job(folder, rows) | {"further": []}, folder / "memory")["peak_mb"])
