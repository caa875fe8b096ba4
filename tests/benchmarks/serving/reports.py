"""The page of the benchmark: machine, versions, command, figures, ratios, and what was not reached."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tests.benchmarks import ledgers, pages
from tests.benchmarks.ledgers import Ledger
from tests.benchmarks.serving import goals, loads, overloads, plots
from tests.benchmarks.serving.contenders import BY_NAME, CONTENDERS, OURS

FILE, PAGE = "serving.json", "serving.md"
PACKAGES = ("numpy", "onnxruntime", "orjson", "msgspec", "uvicorn", "uvloop", "httptools", "scikit-learn")
_WEIGHED = {"memory_mb": "memory, MiB", "threads": "threads", "descriptors": "open files and sockets"}


def facts() -> dict[str, dict[str, str]]:
    """The machine, and the versions of the contenders and of what Pilotage's server is made of."""
    found = {name: version(name) for name in ("pilotage", *PACKAGES)}
    peers = {one.package: one.version for one in CONTENDERS if one.package and one.package not in found}
    return {"machine": ledgers.machine() | {"wrk": loads.wrk_version()}, "versions": found | peers}


def write(ledger: Ledger) -> None:
    """Write the page and its plots from what the ledger holds."""
    found = ledger.found
    drawn = plots.draw(found, ledger.folder)
    parts: dict[str, Callable[[Any], list[str]]] = {
        "throughput": _throughput, "tails": _tails, "cold_start": _cold_start, "overload": _overload,
        "recording": _recording, "swaps": _swaps,
    }  # fmt: skip
    lines = [*_head(found), *pages.judged(goals.judge(found))]
    for name, part in parts.items():
        if name in found:
            lines += part(found[name])
            lines += [line for title, file in drawn.get(name, ()) for line in ("", f"![{title}]({file})")]
    lines += _notes(found)
    (ledger.folder / PAGE).write_text("\n".join(lines) + "\n")


def _head(found: dict[str, Any]) -> list[str]:
    machine, versions = found["machine"], found["versions"]
    return [
        "# The model server against its peers",
        "",
        "Written by the benchmark; the numbers change with every run, the layout does not. The same fitted",
        "model (flight-delay: 20 numbers, 5 categories, 100 boosted trees), the same real rows, one worker",
        "process each, every server in an environment of its own with the versions below. Servers and load",
        f"generator share the machine's cores. The raw figures are in [{FILE}]({FILE}).",
        "",
        f"- Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory']},"
        f" {machine['system']}, Python {machine['python']}, {machine['wrk']}",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
        *pages.taken(found),
    ]


def _throughput(found: dict[str, Any]) -> list[str]:
    lines = [
        "", "## Throughput and latency as fast as each answers", "",
        f"wrk, one thread, the next request when the last is answered; {found['rounds']} rounds of"
        f" {found['seconds']:.0f} s, longer for slow servers, contenders in turn, medians. `ratio` is"
        " Pilotage's throughput over the contender's. Errors are answers of 400 and more and broken"
        " connections, in all rounds.",
    ]  # fmt: skip
    cells = {(cell["contender"], cell["rows"], cell["connections"]): cell for cell in found["cells"]}
    for rows, connections in goals.shapes(found):
        ours = cells[OURS, rows, connections]["rate"]
        body = [_line(cells[name, rows, connections], ours) for name in _order(found)]
        lines += ["", f"### {rows} row{'s' * (rows > 1)} a request, {connections} connections"]
        lines += pages.table(("server", "requests/s", "ratio", "p50 ms", "p99 ms", "errors"), body)
    memory = found["memory_mb"]
    lines += ["", "### Memory after these loads", "", "Proportional set size of all processes of a server."]
    weighed = [(BY_NAME[name].title, f"{memory[name]:,.0f}") for name in _order(found)]
    return lines + pages.table(("server", "MiB"), weighed)


def _line(cell: dict[str, Any], ours: float) -> tuple[str, ...]:
    return (
        BY_NAME[cell["contender"]].title,
        _rate(cell["rate"]),
        f"{ours / cell['rate']:.1f}" if cell["rate"] else "–",
        f"{cell['p50_ms']:,.2f}",
        f"{cell['p99_ms']:,.2f}",
        str(cell["errors"]),
    )


def _order(found: dict[str, Any]) -> list[str]:
    measured = {cell["contender"] for cell in found["cells"]}
    return [contender.name for contender in CONTENDERS if contender.name in measured]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _tails(found: list[dict[str, Any]]) -> list[str]:
    lines = [
        "", "## Slowest answers at the same offered load", "",
        "Requests fall due at a constant rate, 60 % of what the slower of the two does at most, whether the"
        " server keeps up or not; latency counts from when a request was due. Medians of the rounds.",
    ]  # fmt: skip
    rows = [
        (
            f"{BY_NAME[pair['peer']].title}", str(pair["rows"]), _rate(pair["rate"]),
            f"{pair['peer_p99_ms']:,.1f}", f"{pair['ours_p99_ms']:,.1f}",
            f"{pair['peer_failures']} / {pair['ours_failures']}",
        )
        for pair in found
    ]  # fmt: skip
    head = ("peer", "rows", "requests/s", "peer's p99 ms", "Pilotage's p99 ms", "failures, peer / Pilotage")
    return lines + pages.table(head, rows)


def _cold_start(found: dict[str, Any]) -> list[str]:
    lines = [
        "", "## Cold start", "",
        f"From the start of the process to the first right answer; {found['starts']} starts each, in turn,"
        " files in the page cache.",
    ]  # fmt: skip
    rows = [
        (BY_NAME[name].title, f"{one['median']:.2f}", ", ".join(f"{value:.2f}" for value in one["each"]))
        for name, one in ((one.name, found["seconds"].get(one.name)) for one in CONTENDERS)
        if one
    ]
    return lines + pages.table(("server", "median s", "each"), rows)


def _overload(found: dict[str, Any]) -> list[str]:
    twice = found["twice"]
    lines = [
        "", "## Overload", "",
        f"{found['rows']}-row requests, with which the generator can offer twice what the server does."
        f" Saturation is {_rate(found['saturation'])} requests/s (wrk, 64 connections). Then half of it, then"
        f" twice of it for {found['seconds']:.0f} s, then, a second later, wrk again:"
        f" {_rate(found['after'])} requests/s. The generator sent 99 % of the requests within"
        f" {twice['sent_late_p99_ms']:.1f} ms of when they were due.",
    ]  # fmt: skip
    rows = [
        (
            title, _rate(load["rate"]), f"{load['statuses'].get(loads.OK, {}).get('count', 0):,}",
            f"{overloads.admitted_p99_ms(load):,.1f}",
            f"{load['statuses'].get(overloads.REFUSED, {}).get('count', 0):,}",
            f"{overloads.refused_p99_ms(load):,.1f}", str(overloads.lost(load)),
        )
        for title, load in (("half", found["half"]), ("twice", twice))
    ]  # fmt: skip
    head = ("load", "offered/s", "answered", "p99 ms", "refused (503)", "p99 ms of refusals", "lost")
    memory = ", ".join(f"{value:.0f}" for value in found["memory_mb"])
    return [*lines, *pages.table(head, rows), "", f"Memory in MiB, each tenth of the time: {memory}."]


def _recording(found: dict[str, Any]) -> list[str]:
    pairs = zip(found["on"], found["off"], strict=True)
    rows = [
        (str(number), _rate(on), _rate(off), f"{on / off:.1%}") for number, (on, off) in enumerate(pairs, 1)
    ]
    return [
        "", "## What monitoring costs", "",
        f"One-row requests with ids at {found['connections']} connections: windows on and 1 % of the rows"
        f" logged, against `PILOTAGE_RECORD=false`, in turn. Median of the rounds' ratios:"
        f" {found['ratio']:.1%}.",
        *pages.table(("round", "on, requests/s", "off, requests/s", "ratio"), rows),
    ]  # fmt: skip


def _swaps(found: dict[str, Any]) -> list[str]:
    before, after = found["before"], found["after"]
    rows = [(_WEIGHED[name], f"{before[name]:,.0f}", f"{after[name]:,.0f}") for name in before]
    return [
        "", "## Swapping versions under load", "",
        f"The champion changed {found['swaps']} times in {found['seconds']:.0f} s while {found['rate']:.0f}"
        f" requests a second fell due: {found['answered']:,} answered, {found['failed']} failed, p99"
        f" {found['p99_ms']:.1f} ms. The slowest swap took {found['slowest_swap_seconds']:.2f} s from"
        " promotion to the new version's first answer.",
        *pages.table(("of the server", "before", "after"), rows),
    ]  # fmt: skip


def _notes(found: dict[str, Any]) -> list[str]:
    return [
        "", "## How to read it", "",
        "- `mlflow models serve` and MLServer load the version's MLflow folder; BentoML, LitServe and KServe"
        " run the few lines a user writes: a DataFrame from the rows, `predict_proba` of the fitted pipeline."
        " Pilotage answers with classes and probabilities.",
        "- Before anything is timed, each answers the same 100 rows, and the answers have to agree.",
        "- The bare parsers read the same JSON and write an answer of the same form, without checks or a"
        " model: the limit of an HTTP server in Python.",
        "- Servers that are not measured are frozen (SIGSTOP), so that they take memory and no time.",
        "- A closed loop's p99 depends on how much the server answers meanwhile; the tails above are the fair"
        " comparison.",
    ]  # fmt: skip
