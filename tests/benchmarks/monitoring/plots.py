"""Plots of the benchmark: what it costs, false alarms, waits until a shift is found, estimates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter
from tests.benchmarks import charts
from tests.benchmarks.charts import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE, Drawn
from tests.benchmarks.monitoring.alarms import WEEK
from tests.benchmarks.monitoring.contenders import BY_NAME, CONTENDERS, NANNYML, OURS
from tests.benchmarks.monitoring.estimates import NO_CHANGE
from tests.benchmarks.monitoring.goals import FALSE_ALARMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(found: dict[str, Any], folder: Path) -> Drawn:
    """Draw what was measured; scenario → titles and file names."""
    drawn: Drawn = {}
    with mpl.rc_context(STYLE):
        for scenario, name, drawing in (
            ("speed", "speed", _speed),
            ("false_alarms", "false-alarms", _false_alarms),
            ("shifts", "waits", _waits),
            ("shifts", "months", _months),
            ("estimates", "estimates", _estimates),
        ):
            if scenario in found:
                title, figure = drawing(found[scenario])
                file = f"monitoring-{name}.svg"
                charts.save(figure, folder / file)
                drawn.setdefault(scenario, []).append((title, file))
    return drawn


def size_title(size: int | str) -> str:
    """What a window of that size is called."""
    if isinstance(size, str):
        return "real weeks" if size == WEEK else size
    return f"{size:,} rows"


def _colour(name: str) -> str:
    return BLUE if name == OURS else ORANGE if BY_NAME[name].is_peer else GREY


def _speed(found: dict[str, Any]) -> tuple[str, Figure]:
    costs = found["costs"]
    names = [one.name for one in reversed(CONTENDERS) if one.name in costs]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, cost, label, form in (
        (panels[0], "cpu", "CPU seconds (log scale)", ",.1f"),
        (panels[1], "peak_mb", "peak memory in MiB (log scale)", ",.0f"),
    ):
        values = [costs[name][cost] for name in names]
        axes.barh([BY_NAME[name].title for name in names], values, color=[_colour(name) for name in names])
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 4)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.set_xlabel(label)
        for place, value in enumerate(values):
            axes.annotate(f"{value:{form}}", (value, place), (4, 0), textcoords="offset points",
                          va="center", fontsize=9)  # fmt: skip
    title = f"Two tables of {found['rows']:,} rows and 40 columns: read, profiled, compared (less is better)"
    figure.suptitle(title)
    return title, figure


def _false_alarms(found: dict[str, Any]) -> tuple[str, Figure]:
    cells = found["cells"]
    sizes = list(dict.fromkeys(cell["size"] for cell in cells))
    rules = list(dict.fromkeys((cell["contender"], cell["rule"]) for cell in cells))[::-1]
    figure = Figure(figsize=(12, 4.0), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for axes, size in zip(panels, sizes, strict=True):
        by_rule = {(cell["contender"], cell["rule"]): cell for cell in cells if cell["size"] == size}
        for place, rule in enumerate(rules):
            if rule in by_rule:
                _share(axes, place, by_rule[rule])
        axes.axvline(FALSE_ALARMS, color="black", linestyle="--", linewidth=1)
        axes.set_yticks(range(len(rules)), [f"{BY_NAME[name].title}, {rule}" for name, rule in rules])
        axes.set_ylim(-0.6, len(rules) - 0.4)
        axes.set_xlim(-0.02, 1.22)
        axes.set_xticks([0, 0.5, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_title(size_title(size).replace(", ", ",\n"))
    title = "Windows without drift that raise an alarm; dashed: 1 %, Pilotage's stated rate (less is better)"
    figure.suptitle(title)
    return title, figure


def _share(axes: Axes, place: int, cell: dict[str, Any]) -> None:
    share = cell["alarms"] / cell["windows"]
    axes.barh(place, share, color=_colour(cell["contender"]))
    axes.plot([cell["low"], cell["high"]], [place, place], color="black", linewidth=1.2)
    axes.annotate(f"{share:.1%}", (max(share, cell["high"]), place), (4, 0), textcoords="offset points",
                  va="center", fontsize=8)  # fmt: skip


def _waits(found: dict[str, Any]) -> tuple[str, Figure]:
    cells = found["injected"]
    sizes = list(dict.fromkeys(cell["size"] for cell in cells))
    shifts = list(dict.fromkeys(cell["shift"] for cell in cells))[::-1]
    names = [one.name for one in CONTENDERS if any(cell["contender"] == one.name for cell in cells)]
    colours = dict(zip(names, (BLUE, ORANGE, PURPLE, GREEN), strict=False))
    longest = max(cell["matched"]["wait"] or 1.0 for cell in cells)
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    height = 0.8 / len(names)
    for axes, size in zip(panels, sizes, strict=True):
        for cell in cells:
            if cell["size"] == size:
                turn = names.index(cell["contender"])
                place = shifts.index(cell["shift"]) + 0.4 - height * (turn + 0.5)
                _wait(axes, place, height, cell["matched"]["wait"], colours[cell["contender"]])
        axes.set_yticks(range(len(shifts)), shifts)
        axes.set_xlim(0, longest * 1.35)
        axes.set_xlabel("windows until the first alarm")
        axes.set_title(size_title(size))
    handles = [mpl.patches.Patch(color=colours[name], label=BY_NAME[name].title) for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), frameon=False)
    title = "Windows until a shift is found, peers tuned to few false alarms (less is better)"
    figure.suptitle(title)
    return title, figure


def _wait(axes: Axes, place: float, height: float, wait: float | None, colour: str) -> None:
    if wait is None:
        axes.annotate("never", (0, place), (3, 0), textcoords="offset points", va="center", fontsize=8,
                      color=RED)  # fmt: skip
        return
    axes.barh(place, wait, height * 0.9, color=colour)
    axes.annotate(f"{wait:.1f}", (wait, place), (3, 0), textcoords="offset points", va="center", fontsize=8)


def _months(found: dict[str, Any]) -> tuple[str, Figure]:
    rows = []
    for stream in reversed(found["months"]):
        title = BY_NAME[stream["contender"]].title
        if stream["contender"] == OURS:
            rows.append((title, stream["any"], BLUE))
        else:
            rows.append((f"{title}, tuned", stream["matched"], ORANGE))
            rows.append((f"{title}, as it is set", stream["any"], SKY))
    weeks = max(stream["weeks"] for stream in found["months"])
    figure = Figure(figsize=(10, 0.42 * len(rows) + 1.3), layout="constrained")
    axes = figure.subplots()
    for place, (_, hits, colour) in enumerate(rows):
        axes.barh(place, weeks, 0.7, left=0.5, color="#EEEEEE")
        axes.barh([place] * len(hits), [1] * len(hits), 0.7, left=[hit - 0.5 for hit in hits], color=colour)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_xlim(0.5, weeks + 0.5)
    axes.set_xlabel("week after training; coloured: with an alarm")
    title = "Weeks from April to December against January to March"
    axes.set_title(title)
    return title, figure


def _estimates(found: dict[str, Any]) -> tuple[str, Figure]:
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    others = iter((BLUE, SKY, GREEN, PURPLE))
    names = list(dict.fromkeys(name for told in found.values() for name in told["estimates"]))
    fixed = {NO_CHANGE: GREY, NANNYML: ORANGE}
    colours = {name: fixed.get(name) or next(others) for name in names}
    for axes, (length, told) in zip(panels, found.items(), strict=True):
        places = range(1, len(told["windows"]) + 1)
        axes.plot(places, told["realized"], color="black", linewidth=2, label="realized, with labels")
        for name, values in told["estimates"].items():
            shown = [float("nan") if value is None else value for value in values]
            axes.plot(places, shown, color=colours[name], linewidth=1.5, label=estimator_title(name))
        axes.set_xlabel(f"{length} after training")
        axes.set_title(f"by {length}")
    panels[0].set_ylabel("area under the ROC curve")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    title = "Estimated without labels, and realized"
    figure.suptitle(title)
    return title, figure


def estimator_title(name: str) -> str:
    """What an estimator is called."""
    if name == NANNYML:
        return "NannyML's CBPE"
    return name.replace(f"{OURS}: ", "Pilotage, ")
