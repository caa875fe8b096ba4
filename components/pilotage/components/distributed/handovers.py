"""A training handed over to a cluster's head, and what became of it, through the storage.

The head has no files of the step that asks and the step none of the head's; both have the storage. What is
handed over is small: manifests, not data.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pilotage.core import errors
from pilotage.core.artifacts import Report, Snapshot, TrainedModel
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage


@dataclass(frozen=True)
class Request:
    """The arguments of the step."""

    pilot: str
    """The spec as JSON."""
    folder: str
    """A bundle of the pilot's folder."""
    run: str
    snapshot: str
    """The manifest's content, like the report's."""
    report: str

    @classmethod
    def of(cls, pilot: str, folder: str, run: str, *, snapshot: Path, report: Path) -> Request:
        """That of a step whose inputs are in these folders."""
        return cls(
            pilot, folder, run, (snapshot / Snapshot.FILE).read_text(), (report / Report.FILE).read_text()
        )


def give(settings: Settings, request: Request) -> str:
    """Put the request where the head finds it; returns its name."""
    name, storage = f"handovers/{request.run}/train", Storage(settings.storage)
    storage.delete(f"{name}/result.json")
    storage.write(f"{name}/request.json", json.dumps(asdict(request)).encode())
    return name


def carry_out(settings: Settings, name: str) -> int:
    """On the head: the step, whose exit code is returned; what it made is put where the step finds it."""
    from pilotage.components import shells

    storage = Storage(settings.storage)
    request = Request(**json.loads(storage.read(f"{name}/request.json")))
    result: dict[str, Any] = {"exit_code": int(errors.ExitCode.FAILED)}
    with tempfile.TemporaryDirectory(prefix="pilotage-train-") as scratch:
        place = Path(scratch)
        for file, text in ((Snapshot.FILE, request.snapshot), (Report.FILE, request.report)):
            (place / file).write_text(text, encoding="utf-8")
        try:
            metadata = shells.train(
                request.pilot, request.folder, request.run,
                snapshot=scratch, report=scratch, out=str(place / "out"),
            )  # fmt: skip
            text = (place / "out" / TrainedModel.FILE).read_text(encoding="utf-8")
            result = {"exit_code": 0, "metadata": metadata, "trained": text}
        except SystemExit as end:  # the step has told what was wrong
            result = {"exit_code": end.code if isinstance(end.code, int) else int(errors.ExitCode.FAILED)}
        finally:
            storage.write(f"{name}/result.json", json.dumps(result).encode())
    return int(result["exit_code"])


def take(settings: Settings, name: str, out: Path) -> dict[str, Any]:
    """What the head made, in folder `out`; the metadata. Exits as the step did there.

    Raises:
        StepFailed: the head ended without a word.
    """
    storage = Storage(settings.storage)
    try:
        result = json.loads(storage.read(f"{name}/result.json"))
    except errors.NotFound as error:
        raise errors.StepFailed(
            "The RayJob ended without a result.",
            remedy="It was killed, or had too little memory: look at its head's log.",
        ) from error
    if result["exit_code"]:
        sys.exit(int(result["exit_code"]))
    out.mkdir(parents=True, exist_ok=True)
    (out / TrainedModel.FILE).write_text(result["trained"], encoding="utf-8")
    metadata: dict[str, Any] = result["metadata"]
    return metadata
