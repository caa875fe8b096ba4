"""A compiled pipeline of two steps that need no library. kfp reads annotations as objects."""
# ruff: noqa: I002

from typing import Any

from google.protobuf import json_format
from kfp import dsl


@dsl.component(base_image="python", install_kfp_package=False)
def ingest(body: str, counter: str, snapshot: dsl.Output[dsl.Dataset]):
    """Does what `body` says, then writes the data."""
    import pathlib

    with pathlib.Path(counter).open("a") as stream:
        stream.write("ingest\n")
    exec(body)
    pathlib.Path(snapshot.path).mkdir(parents=True, exist_ok=True)
    pathlib.Path(snapshot.path, "data.txt").write_text("rows")
    snapshot.metadata["digest"] = "d" * 64


@dsl.component(base_image="python", install_kfp_package=False)
def train(counter: str, snapshot: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]):
    """Writes the data twice."""
    import pathlib

    with pathlib.Path(counter).open("a") as stream:
        stream.write("train\n")
    rows = pathlib.Path(snapshot.path, "data.txt").read_text()
    pathlib.Path(model.path).mkdir(parents=True, exist_ok=True)
    pathlib.Path(model.path, "model.txt").write_text(rows * 2)
    model.metadata.update({"digest": "m" * 64, "metrics": {"accuracy": 0.5}})


@dsl.pipeline(name="small")
def small(body: str, counter: str):
    """Two steps that count how often they are executed."""
    found = ingest(body=body, counter=counter)
    train(counter=counter, snapshot=found.outputs["snapshot"])


def compiled() -> dict[str, Any]:
    """The pipeline's IR."""
    content: dict[str, Any] = json_format.MessageToDict(small.pipeline_spec)
    return content
