"""Writes edge bundles: model, schema, script and manifest, the same bytes for the same version.

What a model says is not decided here; `predict.py` beside this module is copied as it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pilotage.core import errors, storage
from pilotage.core.artifacts import (
    CodeInput,
    Feature,
    InferenceForm,
    Model,
    NumberInput,
    OneHotInput,
)
from pilotage.core.specs import FeatureKind, Policy

MANIFEST = "manifest.json"
SCRIPT = "predict.py"
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold; bundles do not tell when they were made."""
_TYPES: dict[FeatureKind, dict[str, Any]] = {
    FeatureKind.NUMBER: {"type": ["number", "null"]},
    FeatureKind.BOOLEAN: {"type": ["boolean", "null"]},
    FeatureKind.CATEGORY: {"type": ["string", "integer", "boolean", "null"]},
    FeatureKind.TIME: {"type": ["string", "null"], "format": "date-time"},
}
_REPLACING = (Policy.MASK, Policy.HASH)


def write(target: Path, form: InferenceForm, graph: bytes, model: Model, version: str) -> Path:
    """Write the bundle of a form to `target`, a zip if it ends in .zip, else a folder; all or nothing.

    What is there is replaced if it is a bundle, and left alone if it is something else.

    Args:
        target: where.
        form: of the model.
        graph: its.
        model: what it predicts.
        version: as people call it.

    Raises:
        InputError: something else is at `target`, or a feature is of a kind that no bundle can take.
    """
    files = contents(form, graph, model, version)
    if target.suffix == ".zip":
        if target.is_dir():
            raise errors.InputError(f"`{target}` is a folder.", remedy="Name a file that ends in .zip.")
        storage.write_file(target, zipped(files))
        return target
    if target.exists() and not (target / MANIFEST).is_file() and not _is_empty(target):
        raise errors.InputError(
            f"`{target}` is there and is no bundle.", remedy="Name a new folder, or a file that ends in .zip."
        )
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    draft.mkdir(parents=True)
    try:
        for name, data in files.items():
            storage.write_file(draft / name, data)
        (draft / SCRIPT).chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def contents(form: InferenceForm, graph: bytes, model: Model, version: str) -> dict[str, bytes]:
    """Every file of a bundle, by name; the manifest names the digests of the others."""
    other = [item for item in model.features if item.kind not in _TYPES]
    if other:
        raise errors.InputError(
            f"Feature `{other[0].name}` is a {other[0].kind}, which no edge bundle can take.",
            remedy="Serve this version with `pilotage serve`.",
        )
    if model.personal is not None:
        replaced = [item.name for item in model.features if model.personal.column(item.name) in _REPLACING]
        if replaced:
            raise errors.InputError(
                f"Feature `{replaced[0]}` is personal data that was replaced before training, and a bundle "
                "has neither the rules nor the secret: every value would be one that training has not seen.",
                remedy="Serve this version with `pilotage serve`, or leave the feature out.",
            )
    files = {
        "model.onnx": graph,
        "model.json": _as_json(facts(form, model, version)),
        "schema.json": _as_json(schema(form, model)),
        SCRIPT: (Path(__file__).parent / SCRIPT).read_bytes(),
        "README.md": _readme(form, model, version).encode(),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    about = {"pilot": model.pilot, "version": version, "model": form.model, "files": digests}
    return {**files, MANIFEST: _as_json(about)}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of files, the same bytes for the same content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if name == SCRIPT else 0o644) << 16
            entry.create_system = 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def facts(form: InferenceForm, model: Model, version: str) -> dict[str, Any]:
    """What the script reads: features, how they become numbers, and what the graph's output means."""
    return {
        "pilot": model.pilot,
        "version": version,
        "task": str(model.task),
        "target": model.target,
        "classes": list(model.classes),
        "positive": model.positive,
        "features": [{"name": item.name, "kind": str(item.kind)} for item in model.features],
        "inputs": [item.model_dump(mode="json") for item in form.inputs],
        "base": list(form.base),
        "link": str(form.link),
        "single": form.single,
    }


def schema(form: InferenceForm, model: Model) -> dict[str, Any]:
    """The JSON schema of a row; categories that training has seen are told, and others are no error."""
    known = {entry.feature: entry for entry in reversed(form.inputs)}
    properties = {}
    for item in model.features:
        entry = known.get(item.name)
        told = {**_TYPES[item.kind], "description": f"A {item.kind}; null is a missing value."}
        if isinstance(entry, (CodeInput, OneHotInput)):
            names = entry.codes if isinstance(entry, CodeInput) else entry.positions
            told["x-categories"] = sorted(names)
            told["description"] += " A category that is not listed is taken as the model takes unseen ones."
        elif isinstance(entry, NumberInput) and entry.scaling is not None:
            told["description"] += f" A missing one is taken as {entry.scaling.fill:g}."
        properties[item.name] = told
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A row of {model.pilot}",
        "type": "object",
        "properties": properties,
        "required": [item.name for item in model.features],
        "additionalProperties": True,
    }


def _readme(form: InferenceForm, model: Model, version: str) -> str:
    example = {item.name: _example(item, form) for item in model.features}
    shares = ", `probabilities` in the order of `classes` in model.json" if model.classes else ""
    answer = "a number" if not model.classes else f"one of {', '.join(str(item) for item in model.classes)}"
    return f"""# {model.pilot}, version {version}

Predicts `{model.target}`: {answer}. Needs Python 3.11 or later and onnxruntime, which brings NumPy:

    python -m pip install onnxruntime
    python predict.py rows.jsonl > answers.jsonl

A row is a JSON object a line; `schema.json` describes it. CSV with a header works as well
(`python predict.py rows.csv`); an empty field is a missing value. For example:

    {json.dumps(example, ensure_ascii=False)}

Each row is answered by a line: `row` (from 0), `prediction`{shares};
a wrong row by `errors`, each with `column` and `message`, and the others are answered all the same.
Exit codes: 0 all rows were predicted, 1 a file could not be read or written, 2 something given was wrong.

`manifest.json` names the SHA-256 of each file. `predict.py` compares them before it begins,
and `python predict.py --check` does only that.
"""


def _example(item: Feature, form: InferenceForm) -> Any:
    entry = next((entry for entry in form.inputs if entry.feature == item.name), None)
    if isinstance(entry, CodeInput):
        return next(iter(sorted(entry.codes)), None)
    if isinstance(entry, OneHotInput):
        return next(iter(sorted(entry.positions)), None)
    return {FeatureKind.NUMBER: 1.5, FeatureKind.BOOLEAN: True, FeatureKind.TIME: "2026-01-31T12:00:00"}.get(
        item.kind
    )


def _as_json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
