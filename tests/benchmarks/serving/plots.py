"""Plots of the benchmark: throughput, tails, starts and overload."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from tests.benchmarks import charts
from tests.benchmarks.charts import BLUE, GREY, ORANGE, SKY, STYLE, Drawn
from tests.benchmarks.serving import goals
from tests.benchmarks.serving.contenders import BY_NAME, CONTENDERS, OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(found: dict[str, Any], folder: Path) -> Drawn:
    """Draw what was measured; scenario → titles and file names."""
    drawn: Drawn = {}
    with mpl.rc_context(STYLE):
        for scenario, name, drawing in (
            ("throughput", "throughput", _throughput),
            ("tails", "tails", _tails),
            ("cold_start", "cold-start", _cold_start),
            ("overload", "overload", _overload),
        ):
            if scenario in found:
                title, figure = drawing(found[scenario])
                file = f"serving-{name}.svg"
                charts.save(figure, folder / file)
                drawn.setdefault(scenario, []).append((title, file))
    return drawn


def _colour(name: str) -> str:
    return BLUE if name == OURS else ORANGE if BY_NAME[name].is_peer else GREY


def _bars(axes: Axes, values: dict[str, float], form: str, *, log: bool) -> None:
    names = list(reversed(values))
    axes.barh([BY_NAME[name].title for name in names], [values[name] for name in names],
              color=[_colour(name) for name in names])  # fmt: skip
    if log:
        axes.set_xscale("log")
        axes.set_xlim(1.0, max(values.values()) * 8)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    else:
        axes.set_xlim(0, max(values.values()) * 1.15)
    for place, name in enumerate(names):
        axes.annotate(f"{values[name]:{form}}", (values[name], place), (4, 0), textcoords="offset points",
                      va="center", fontsize=9)  # fmt: skip


def _throughput(found: dict[str, Any]) -> tuple[str, Figure]:
    shapes = goals.shapes(found)
    counts = sorted({rows for rows, _ in shapes})
    connections = max(connections for _, connections in shapes)
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for axes, rows in zip(panels, counts, strict=True):
        _bars(axes, goals.rates(found, rows, connections), ",.0f", log=True)
        axes.set_title(f"{rows} row{'s' * (rows > 1)} a request")
        axes.set_xlabel("requests per second (log scale)")
    title = f"Throughput at {connections} connections, one worker process each (more is better)"
    figure.suptitle(title)
    return title, figure


def _tails(found: list[dict[str, Any]]) -> tuple[str, Figure]:
    counts = sorted({pair["rows"] for pair in found})
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    panels = figure.subplots(1, len(counts), squeeze=False)[0]
    for axes, rows in zip(panels, counts, strict=True):
        pairs = [pair for pair in reversed(found) if pair["rows"] == rows]
        places = range(len(pairs))
        axes.barh([place + 0.2 for place in places], [pair["peer_p99_ms"] for pair in pairs], 0.38,
                  color=ORANGE, label="the peer")  # fmt: skip
        axes.barh([place - 0.2 for place in places], [pair["ours_p99_ms"] for pair in pairs], 0.38,
                  color=BLUE, label="Pilotage at the same rate")  # fmt: skip
        labels = [f"{BY_NAME[pair['peer']].title}\n{pair['rate']:,.0f} requests/s" for pair in pairs]
        axes.set_yticks(list(places), labels)
        axes.set_xscale("log")
        everything = [pair[key] for pair in pairs for key in ("peer_p99_ms", "ours_p99_ms")]
        axes.set_xlim(min([1.0, *everything]) / 2, max(everything) * 2)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.set_xlabel("p99 in milliseconds (log scale)")
        axes.set_title(f"{rows} row{'s' * (rows > 1)} a request")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    title = "99th percentile of latency at the same offered load (less is better)"
    figure.suptitle(title)
    return title, figure


def _cold_start(found: dict[str, Any]) -> tuple[str, Figure]:
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots()
    order = [contender.name for contender in CONTENDERS if contender.name in found["seconds"]]
    _bars(axes, {name: found["seconds"][name]["median"] for name in order}, ".2f", log=False)
    axes.set_xlabel("seconds")
    title = "Cold start: from the process's start to its first right answer (less is better)"
    axes.set_title(title)
    return title, figure


def _overload(found: dict[str, Any]) -> tuple[str, Figure]:
    timeline = found["twice"]["timeline"]
    seconds = range(len(timeline))
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.stackplot(
        seconds, [second["good"] for second in timeline], [second["other"] for second in timeline],
        colors=(BLUE, SKY), labels=("answered", "refused with 503"),
    )  # fmt: skip
    above.axhline(found["saturation"], color="black", linestyle="--", linewidth=1, label="saturation")
    above.set_ylabel("requests per second")
    above.set_xlim(0, max(1, len(timeline) - 1))
    above.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=9, frameon=False)
    below.plot(seconds, [second["p99_ms"] for second in timeline], color=BLUE, label="admitted requests")
    half = found["half"]["statuses"].get("200", {}).get("p99_ms", 0.0)
    below.axhline(half * 3, color=ORANGE, linestyle="--", label="three times the p99 at half load")
    below.set_ylim(bottom=0)
    below.set_ylabel("p99 in milliseconds")
    below.set_xlabel("seconds")
    below.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9, frameon=False)
    title = "Twice the saturation load"
    figure.suptitle(title)
    return title, figure
