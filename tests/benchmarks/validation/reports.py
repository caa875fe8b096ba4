"""The page of the validation benchmark: goals, figures with ratios, one plot, and how to read them."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from tests.benchmarks.validation.contenders import BY_HAND, CONTENDERS, EXPECTATIONS, LIMIT, OURS, PANDERA

Found = dict[str, dict[str, list[float]]]
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#999999"
_STYLE: Any = {
    "font.size": 10.0, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "pilotage",
    "svg.fonttype": "none", "axes.titlesize": 11.0,
}  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """One goal and how far it was reached."""

    text: str
    wanted: str
    reached: str
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.text}: {self.reached} (wanted {self.wanted})"


def ratio(found: Found, figure: str, one: str, other: str) -> float:
    """The median of the rounds' ratios, so that what disturbs one round disturbs both sides of it."""
    return statistics.median(a / b for a, b in zip(found[one][figure], found[other][figure], strict=True))


def judge(found: Found) -> list[Goal]:
    """The goals of the benchmark."""
    ours, hand = OURS.name, BY_HAND.name
    goals = []
    for text, figure, peer, least in (
        ("in process: times Great Expectations", "seconds", EXPECTATIONS.name, 6.0),
        ("in process: times pandera", "seconds", PANDERA.name, 2.0),
        ("whole process: times a Great Expectations script", "whole_seconds", EXPECTATIONS.name, 8.0),
    ):
        reached = ratio(found, figure, peer, ours)
        goals.append(Goal(text, f"≥ {least:g}", f"{reached:.1f}", reached >= least))
    beside = ratio(found, "seconds", ours, hand)
    text = "in process: share of the time of a query by hand"
    goals.append(Goal(text, "≤ 1.3", f"{beside:.2f}", beside <= 1.3))
    peaks = {one.name: statistics.median(found[one.name]["peak_mb"]) for one in CONTENDERS}
    for other in (EXPECTATIONS, PANDERA):
        weighed = f"{peaks[ours]:,.0f} against {peaks[other.name]:,.0f} MiB"
        met = peaks[ours] < peaks[other.name]
        goals.append(Goal(f"peak memory below that of {other.title}", "lower", weighed, met))
    return goals


def table(found: Found) -> list[str]:
    """Medians of the rounds, and how many times Pilotage's time each took."""
    head = ("", "in process, s", "ratio", "processor, s", "ratio", "whole process, s", "ratio", "peak MiB")
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for one in CONTENDERS:
        cells = [one.title]
        for figure in ("seconds", "processor_seconds", "whole_seconds"):
            cells.append(f"{statistics.median(found[one.name][figure]):.2f}")
            cells.append(f"{ratio(found, figure, one.name, OURS.name):.2f}")
        cells.append(f"{statistics.median(found[one.name]['peak_mb']):,.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def write(folder: Path, found: Found, about: dict[str, Any]) -> None:
    """Write `validation.json`, `validation.svg` and `validation.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"about": about, "found": found}, indent=1, sort_keys=True)
    (folder / "validation.json").write_text(content + "\n")
    _draw(found).savefig(folder / "validation.svg", metadata={"Date": None}, bbox_inches="tight")
    goals = judge(found)
    missed = [goal for goal in goals if not goal.met]
    rows = [
        f"| {goal.text} | {goal.wanted} | {goal.reached} | {'yes' if goal.met else '**no**'} |"
        for goal in goals
    ]
    told = (
        f"Not reached: {len(missed)} of {len(goals)}." if missed else f"All {len(goals)} goals were reached."
    )
    lines = [
        *_head(about), "", "## Goals", "", told, "", "| goal | wanted | reached | met |",
        "| --- | ---: | ---: | ---: |", *rows, "", "## Figures", "", *table(found), "",
        "![Time from a Parquet file to the verdicts](validation.svg)", "", *_notes(about),
    ]  # fmt: skip
    (folder / "validation.md").write_text("\n".join(lines) + "\n")


def _head(about: dict[str, Any]) -> list[str]:
    return [
        "# Validation against its peers", "",
        f"Written by the benchmark. {about['rows']:,} rows of 20 columns in Parquet, {about['expectations']}"
        f" expectations of which {about['failing']} fail; the raw figures are in"
        " [validation.json](validation.json).", "",
        f"- Machine: {about['machine']}; load average at the start {about['load']:.1f}",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in about['versions'].items())}",
        f"- `{about['command']}` at commit {about['commit']}, {about['at']}, {about['rounds']} rounds",
    ]  # fmt: skip


def _notes(about: dict[str, Any]) -> list[str]:
    return [
        "## How to read it", "",
        "- From a Parquet file to verdicts, reading included. Contenders take turns; a figure is the median"
        " of the rounds, a ratio the median of the rounds' ratios to Pilotage. In process is the best of"
        f" {about['times']} in one process with its imports done; processor time is that of all threads.",
        "- A whole process is `pilotage validate TABLE SUITE --json` and the others' scripts, start to end;"
        " peak memory is the largest resident set of that process.",
        "- All give the same verdicts, which is checked before anything is reported. Pilotage and Great"
        " Expectations also give counts, shares and the first 20 unexpected values; pandera its failure"
        " cases; the query by hand only verdicts.",
        "- pandera's built-in checks are used where they mean the same, and a check of one value where an"
        " expectation asks for a share or an aggregate.",
        "- On a machine with other work, clock times of what uses both cores suffer most.",
    ]  # fmt: skip


def _draw(found: Found) -> Figure:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (key, title) in zip(
            panels, (("seconds", "in process"), ("whole_seconds", "as a whole process")), strict=True
        ):
            names = list(reversed(CONTENDERS))
            values = [statistics.median(found[one.name][key]) for one in names]
            colours = [BLUE if one is OURS else GREY if one in (LIMIT, BY_HAND) else ORANGE for one in names]
            axes.barh([one.title for one in names], values, color=colours)
            axes.set_xlim(0, max(values) * 1.15)
            axes.set_xlabel("seconds (less is better)")
            axes.set_title(title)
            for place, value in enumerate(values):
                axes.annotate(f"{value:.2f}", (value, place), (4, 0), textcoords="offset points", va="center")
        return figure
