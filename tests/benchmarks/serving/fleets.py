"""All contenders, running side by side, all but one frozen; each was asked the same and answered the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from tests.benchmarks.serving import loads
from tests.benchmarks.serving.contenders import BY_NAME, OURS, Contender
from tests.benchmarks.serving.loads import Payload
from tests.benchmarks.serving.processes import Server
from tests.benchmarks.serving.stages import Row, Stage

CHECKED_ROWS = 100
_TOLERANCE = 1e-3
"""Of probabilities: the trained model's and its inference form's, where they differ, differ in rounding."""


@dataclass(frozen=True)
class Fleet:
    """Servers by name, and the payloads that each understands."""

    stage: Stage
    servers: dict[str, Server]

    @contextlib.contextmanager
    def only(self, name: str) -> Iterator[Server]:
        """The one server that runs meanwhile."""
        server = self.servers[name]
        server.thaw()
        try:
            yield server
        finally:
            server.freeze()

    def payload(self, name: str, rows: int) -> Payload:
        """Bodies of `rows` rows for one contender, written on first use."""
        return payload(self.stage, BY_NAME[name], rows)


def payload(stage: Stage, contender: Contender, rows: int, label: str = "") -> Payload:
    """Bodies of `rows` rows for one contender, written on first use."""
    folder = stage.folder / "payloads" / f"{contender.name}{label}-{rows}"
    if folder.is_dir():
        return Payload(folder, rows)
    return loads.write(folder, rows, [contender.body(stage, batch) for batch in stage.batches(rows)])


@contextlib.contextmanager
def sailing(stage: Stage, chosen: Sequence[Contender]) -> Iterator[Fleet]:
    """Start the contenders one after another, check their answers, and freeze them."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        expected: list[float] | None = None
        for contender in sorted(chosen, key=lambda one: one.name != OURS):
            server = contender.start(stage)
            stack.callback(server.stop)
            found = check(stage, contender, server, expected)
            expected = found if contender.name == OURS else expected
            server.freeze()
            servers[contender.name] = server
        yield Fleet(stage, {contender.name: servers[contender.name] for contender in chosen})


def check(stage: Stage, contender: Contender, server: Server, expected: list[float] | None) -> list[float]:
    """The server's answers for some rows: probabilities, or 0 and 1 where it answers with classes.

    Raises:
        AssertionError: they are not `expected`, so another model or other rows would be measured.
    """
    rows: list[Row] = stage.batches(CHECKED_ROWS)[0]
    status, body = server.ask(contender.body(stage, rows))
    assert status == 200, f"{contender.name} answered {status} to {len(rows)} rows: {body[:2000]!r}"
    found = _answers(orjson.loads(body))
    assert len(found) == len(rows), f"{contender.name} answered {len(found)} of {len(rows)} rows"
    if expected is not None and (contender.is_peer or contender.name == OURS):
        classes = all(value in (0.0, 1.0) for value in found)
        wanted = [float(value > 0.5) for value in expected] if classes else expected
        far = [pair for pair in zip(found, wanted, strict=True) if abs(pair[0] - pair[1]) > _TOLERANCE]
        assert not far, f"{contender.name} answers differently (found, expected): {far[:5]}"
    return found


def _answers(document: Any) -> list[float]:
    if isinstance(document, list):
        return [float(value) for value in document]
    if "probabilities" in document:
        return [float(pair[1]) for pair in document["probabilities"]]
    if "outputs" in document:
        return [float(value) for value in document["outputs"][0]["data"]]
    return [float(value) for value in document["predictions"]]


def scratch(cache: Path) -> Path:
    """Where a session keeps its model, payloads and logs; the next one begins anew."""
    return cache / "stage"
