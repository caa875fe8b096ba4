"""The page of the benchmark: machine, versions, command, figures, ratios, and what was not reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tests.benchmarks import ledgers, pages
from tests.benchmarks.ledgers import Ledger
from tests.benchmarks.monitoring import goals, plots
from tests.benchmarks.monitoring.contenders import BY_NAME, CONTENDERS, OURS
from tests.benchmarks.monitoring.plots import estimator_title, size_title

FILE, PAGE = "monitoring.json", "monitoring.md"
PACKAGES = ("numpy", "scipy", "pyarrow", "polars", "scikit-learn")


def facts() -> dict[str, dict[str, str]]:
    """The machine, and the versions of everyone and of what Pilotage's monitor is made of."""
    ours = {name: version(name) for name in ("pilotage", *PACKAGES)}
    peers = {one.environment: one.version for one in CONTENDERS if one.environment}
    return {"machine": ledgers.machine(), "versions": dict(sorted((ours | peers).items()))}


def write(ledger: Ledger) -> None:
    """Write the page and its plots from what the ledger holds."""
    found = ledger.found
    drawn = plots.draw(found, ledger.folder)
    parts: dict[str, Callable[[Any], list[str]]] = {
        "speed": _speed, "false_alarms": _false_alarms, "shifts": _shifts, "estimates": _estimates,
    }  # fmt: skip
    lines = [*_head(found), *pages.judged(goals.judge(found))]
    for name, part in parts.items():
        if name in found:
            lines += part(found[name])
            lines += [line for title, file in drawn.get(name, ()) for line in ("", f"![{title}]({file})")]
    (ledger.folder / PAGE).write_text("\n".join([*lines, *_notes()]) + "\n")


def _head(found: dict[str, Any]) -> list[str]:
    machine, versions = found["machine"], found["versions"]
    return [
        "# Monitoring against its peers",
        "",
        "Written by the benchmark; the numbers change with every run, the layout does not. The same real",
        "flights for everyone, every tool in an environment of its own with the versions below, one process",
        "at a time, one OpenMP thread. Processor time is user and system time as the kernel counts it. The",
        f"raw figures are in [{FILE}]({FILE}).",
        "",
        f"- Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory']},"
        f" {machine['system']}, Python {machine['python']}",
        f"- Versions: {', '.join(f'{name} {told}' for name, told in versions.items())}",
        *pages.taken(found),
    ]


def _named(cell: dict[str, Any], name: str = "") -> str:
    """A tool's title, with when its figures were taken if that was not in this run."""
    title = name or BY_NAME[cell["contender"]].title
    at = cell.get("stored_at")
    return f"{title} (of {at})" if at else title


def _speed(found: dict[str, Any]) -> list[str]:
    costs = found["costs"]
    ours = costs[OURS]["cpu"]
    lines = [
        "", "## What it costs", "",
        f"Two tables of {found['rows']:,} rows with {found['numbers']} numbers and {found['categories']}"
        f" categories, drawn with replacement from the flights, as Parquet files of {found['file_mb']} MiB:"
        " read, profiled, compared. `CPU s` leaves out start and imports, `whole` does not; `ratio` is the"
        " contender's CPU time over Pilotage's. Medians of the rounds, contenders in turn.",
    ]  # fmt: skip
    rows = [
        (
            _named(costs[one.name], one.title), one.preset, f"{costs[one.name]['cpu']:,.2f}",
            f"{costs[one.name]['cpu'] / ours:,.1f}", f"{costs[one.name]['whole_cpu']:,.2f}",
            f"{costs[one.name]['wall']:,.2f}", f"{costs[one.name]['peak_mb']:,.0f}",
            str(len(costs[one.name]["rounds_cpu"])),
        )
        for one in CONTENDERS if one.name in costs
    ]  # fmt: skip
    head = ("tool", "used", "CPU s", "ratio", "whole CPU s", "wall s", "peak MiB", "rounds")
    lines += pages.table(head, rows)
    further = found["further_cpu"]
    parts = ", ".join(f"{part} {cpu:.2f}" for part, cpu in costs[OURS]["parts_cpu"].items())
    each = ", ".join(f"{one:.2f}" for one in further)
    memory = ", ".join(f"{int(rows):,} rows {mb:,.0f} MiB" for rows, mb in found["memory_mb"].items())
    return [
        *lines, "",
        f"Pilotage's CPU seconds by part: {parts}. A further window of {found['rows']:,} rows against the"
        f" same reference: {statistics.median(further):.2f} CPU s (each: {each})."
        f" Pilotage's peak memory: {memory}.",
    ]  # fmt: skip


def _false_alarms(found: dict[str, Any]) -> list[str]:
    lines = [
        "", "## False alarms", "",
        "Windows without drift: a reference and windows that are disjoint random draws from the same flights"
        f" ({found['splits']} references of {found['reference_rows']:,} rows for Pilotage, one for a peer),"
        f" and real weeks, a random half of the year's as the reference, the others as windows"
        f" ({found['week_splits']} halves for Pilotage, one for a peer). The interval is the exact binomial"
        " one at 95 %; windows of one reference depend on each other a little, weeks more. Evidently and"
        " NannyML promise no rate; alibi-detect's is 5 %. Pilotage is also measured where it is hardest: a"
        " reference only twice as large as the window, with a category of 4,000 values.",
    ]  # fmt: skip
    rows = [
        (
            _named(cell), cell["rule"], size_title(cell["size"]), str(cell["windows"]), str(cell["alarms"]),
            f"{cell['alarms'] / cell['windows']:.1%}", f"{cell['low']:.1%} to {cell['high']:.1%}",
        )
        for cell in found["cells"]
    ]  # fmt: skip
    head = ("tool", "alarm by", "window", "windows", "alarms", "share", "95 % interval")
    return lines + pages.table(head, rows)


def _shifts(found: dict[str, Any]) -> list[str]:
    lines = [
        "", "## How soon a shift is found", "",
        "One column of undrifted windows changes. *as set*: any column alarms by the tool's own rule, which"
        " for a tool that alarms on undrifted windows says nothing. *its column*: the changed column alarms"
        " by that rule. *tuned*: the peer's thresholds are set by hand for this data, each column by its"
        " spread over the undrifted windows above, so that none of these alarms: about as few false alarms as"
        " Pilotage's rule, which is not tuned. Each is the share of windows, and in brackets the windows"
        " until the first alarm, the shift beginning at each window in turn (Pilotage's over the same windows"
        " as the peers').",
    ]  # fmt: skip
    sizes = list(dict.fromkeys(cell["size"] for cell in found["injected"]))
    for size in sizes:
        lines += ["", f"### Windows: {size_title(size)}"]
        rows = [
            (cell["shift"], _named(cell), *(_hits(cell[rule]) for rule in ("any", "column", "matched")))
            for cell in sorted(found["injected"], key=lambda cell: cell["shift"])
            if cell["size"] == size
        ]
        lines += pages.table(("shift", "tool", "as set", "its column", "tuned"), rows)
    lines += [
        "", "### The seasons", "",
        "January to March is the reference, each week from April on a window: no shift was injected, spring"
        " came. Tuned as above, on random weeks.",
    ]  # fmt: skip
    rows = [
        (
            _named(stream), _first(stream["any"]), f"{len(stream['any'])} of {stream['weeks']}",
            _first(stream["matched"]), f"{len(stream['matched'])} of {stream['weeks']}",
            _columns(stream["first_columns"]),
        )
        for stream in found["months"]
    ]  # fmt: skip
    head = ("tool", "first alarm, as set", "weeks", "first alarm, tuned", "weeks ", "first columns, as set")
    return lines + pages.table(head, rows)


def _hits(told: dict[str, Any]) -> str:
    wait = "never" if told["wait"] is None else f"{told['wait']:.2f}"
    return f"{told['alarms'] / told['windows']:.0%} ({wait})"


def _first(weeks: list[int]) -> str:
    return f"week {weeks[0]}" if weeks else "never"


def _columns(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} columns"


def _estimates(found: dict[str, Any]) -> list[str]:
    any_ = next(iter(found.values()))
    lines = [
        "", "## Performance without labels", "",
        "The area under the ROC curve of one model, trained as the flight-delay example is on January to"
        " March, over later windows: estimated from scores (and features) alone after calibration on the"
        f" {any_['held_out_rows']:,} held-out rows, beside the value that labels gave.",
    ]  # fmt: skip
    rows = [
        (estimator_title(name), *(_error(told, name) for told in found.values()))
        for name in any_["estimates"]
    ]
    head = ("estimator", *(f"mean absolute error by {length}" for length in found))
    lines += pages.table(head, rows)
    stored = {
        f"NannyML's figures are of {at}."
        for told in found.values()
        for at in told["stored_at"].values()
        if at
    }
    return [*lines, *(line for told in sorted(stored) for line in ("", told))]


def _error(told: dict[str, Any], name: str) -> str:
    error, total = told["errors"][name], len(told["windows"])
    left = "" if error["windows"] == total else f" ({error['windows']} of {total} windows)"
    return f"{error['mean_absolute']:.4f}{left}"


def _notes() -> list[str]:
    return [
        "",
        "## How to read it",
        "",
        "- The 40 columns are real: the features of the flight-delay example, what the registers of",
        "  planes and airports say, and how the flight went. One category has 4,000 values. Drawn with",
        "  replacement they have few distinct values a column, which makes sorting cheap and files",
        "  small: tools that sort are flattered.",
        "- Every tool reads the same files in its own way; the peers read them with pandas, which they",
        "  need.",
        "- Pilotage's compiled code is loaded with its imports: its time is in `whole` alone.",
        "- The plain pass reads both files and adds up numbers and lengths of texts: what looking at",
        "  every value costs without more. Texts that are read as codes can be counted for less than",
        "  that.",
        "- Evidently's verdicts on hundreds of windows are the two distances that its preset takes for",
        "  large references, computed from counts; that the preset says the same is checked on the",
        "  first window of each kind. Its time above is the preset's.",
        "- alibi-detect takes no missing values: they were filled with the reference's median.",
        "- Evidently and NannyML leave missing values out, so that a rising share of them is no drift",
        "  to them; both have other checks for that, which are not part of these presets.",
        "- Tuned thresholds know the undrifted windows they were set on; a user has to find such",
        "  windows first.",
    ]
