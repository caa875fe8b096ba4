"""Who is measured: how each server is started, and how it is asked the same question.

One worker process each, its own protocol, the settings its manual recommends for production where it
recommends any. Whether it answers the same is checked in `fleets`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from tests.benchmarks import environments
from tests.benchmarks.serving import processes, stages
from tests.benchmarks.serving.stages import Row, Stage

PEERS = Path(__file__).parent / "peers"
OURS, LIMIT, MLFLOW = "pilotage", "bare-uvicorn", "mlflow"
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Contender:
    """One server."""

    name: str
    title: str
    path: str
    encode: Callable[[Stage, Sequence[Row]], Any]
    """The body that asks for predictions of rows, before it is written as JSON."""
    command: Callable[[Stage, Path, int], list[str]]
    """From the stage, the `bin` of its environment and a port."""
    environment: str = ""
    """Name of its requirements among the peers; empty for this checkout's."""
    package: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Stage, Path, int], None] = lambda stage, folder, port: None
    """Writes the files it wants into the folder it runs in."""
    is_peer: bool = True

    @property
    def version(self) -> str:
        """Of its package."""
        return (
            environments.version(PEERS / f"{self.environment}.txt", self.package) if self.environment else ""
        )

    def body(self, stage: Stage, rows: Sequence[Row]) -> bytes:
        """A request's body."""
        return orjson.dumps(self.encode(stage, rows))

    def _binaries(self) -> Path:
        if not self.environment:
            return Path(sys.executable).parent
        return environments.make(PEERS / f"{self.environment}.txt") / "bin"

    def start(self, stage: Stage, **more: str) -> processes.Server:
        """Start it and wait until it has answered one row."""
        binaries = self._binaries()
        port = processes.free_port()
        folder = stage.folder / "servers" / f"{self.name}-{port}"
        folder.mkdir(parents=True)
        self.prepare(stage, folder, port)
        variables = environments.variables(
            **{
                "BENCH_MODEL": str(stage.folder),
                "PYTHONPATH": str(PEERS) if self.environment else "",
                "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
                "PILOTAGE_HOME": str(stage.home),
            }
            | self.variables
            | more
        )
        command = self.command(stage, binaries, port)
        body = self.body(stage, stage.batches(1)[0])
        return processes.start(command, variables, folder, port, self.path, _JSON, body)


def _rows(stage: Stage, rows: Sequence[Row]) -> Any:
    return {"rows": [stage.features(row) for row in rows]}


def with_ids(stage: Stage, rows: Sequence[Row]) -> Any:
    """A request to Pilotage whose rows the row log can keep."""
    return {"rows": [stage.features(row) for row in rows], "ids": [row["flight_id"] for row in rows]}


def _split(stage: Stage, rows: Sequence[Row]) -> Any:
    data = [[row[name] for name in stage.kinds] for row in rows]
    return {"dataframe_split": {"columns": list(stage.kinds), "data": data}}


def _instances(stage: Stage, rows: Sequence[Row]) -> Any:
    return {"instances": [stage.features(row) for row in rows]}


def _tensors(stage: Stage, rows: Sequence[Row]) -> Any:
    inputs = [
        {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": "FP64" if kind == "number" else "BYTES",
            "parameters": {} if kind == "number" else {"content_type": "str"},
            "data": [row[name] for row in rows],
        }
        for name, kind in stage.kinds.items()
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


def _mlserver_files(batching: bool) -> Callable[[Stage, Path, int], None]:
    def write(stage: Stage, folder: Path, port: int) -> None:
        settings: dict[str, Any] = {
            "http_port": port,
            "grpc_port": processes.free_port(),
            "parallel_workers": 0,
        }
        settings |= {"metrics_port": processes.free_port(), "host": "127.0.0.1", "debug": False}
        model: dict[str, Any] = {
            "name": stages.NAME,
            "implementation": "mlserver_mlflow.MLflowRuntime",
            "parameters": {"uri": str(stage.mlflow_model)},
        }
        if batching:
            model |= {"max_batch_size": 64, "max_batch_time": 0.005}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))

    return write


def _mlserver(name: str, title: str, *, batching: bool) -> Contender:
    return Contender(
        name, title, f"/v2/models/{stages.NAME}/infer", _tensors,
        lambda stage, env, port: [f"{env}/mlserver", "start", "."],
        environment="mlserver", package="mlserver", prepare=_mlserver_files(batching),
    )  # fmt: skip


def _bentoml(name: str, title: str, *, batching: bool) -> Contender:
    return Contender(
        name, title, "/predict", _rows,
        lambda stage, env, port: [
            f"{env}/bentoml", "serve", "bentoml_service:Service", "--working-dir", str(PEERS),
            "--host", "127.0.0.1", "--port", str(port),
        ],
        environment="bentoml", package="bentoml", variables={"BENCH_BATCHING": str(int(batching))},
    )  # fmt: skip


def _bare(name: str, title: str, environment: str, *arguments: str) -> Contender:
    return Contender(
        name, title, "/predict", _rows,
        lambda stage, env, port: [f"{env}/{environment}", "bare:app", "--port", str(port), *arguments],
        environment=environment, package=environment, is_peer=False,
    )  # fmt: skip


CONTENDERS = (
    Contender(
        OURS, "Pilotage", "/predict", _rows,
        lambda stage, env, port: [f"{env}/pilotage", "serve", str(stages.PILOT), "--port", str(port)],
        is_peer=False,
    ),
    Contender(
        MLFLOW, "mlflow models serve", "/invocations", _split,
        lambda stage, env, port: [
            f"{env}/mlflow", "models", "serve", "-m", str(stage.mlflow_model), "--env-manager", "local",
            "--workers", "1", "--port", str(port),
        ],
        environment="mlflow", package="mlflow",
    ),
    _mlserver("mlserver", "MLServer", batching=False),
    _mlserver("mlserver-batching", "MLServer, batching", batching=True),
    _bentoml("bentoml", "BentoML", batching=False),
    _bentoml("bentoml-batching", "BentoML, batching", batching=True),
    Contender(
        "litserve-batching", "LitServe, batching", "/predict", _rows,
        lambda stage, env, port: [
            f"{env}/python", str(PEERS / "litserve_server.py"), str(port)
        ],
        environment="litserve", package="litserve",
    ),
    Contender(
        "kserve", "KServe", f"/v1/models/{stages.NAME}:predict", _instances,
        lambda stage, env, port: [
            f"{env}/python", str(PEERS / "kserve_server.py"), "--http_port", str(port)
        ],
        environment="kserve", package="kserve",
    ),
    _bare(
        LIMIT, "bare parser, uvicorn", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--workers", "1",
        "--lifespan", "off", "--no-access-log",
    ),
    _bare(
        "bare-granian", "bare parser, granian", "granian", "--interface", "asgi", "--loop", "uvloop",
        "--workers", "1", "--no-ws", "--no-access-log",
    ),
)  # fmt: skip
BY_NAME = {contender.name: contender for contender in CONTENDERS}
