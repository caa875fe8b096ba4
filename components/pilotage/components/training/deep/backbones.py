"""Backbones of images: an ONNX file, what it takes, and what must be done to an image before.

Size, mean and deviation are pilot.yaml's, else the file's own metadata (`image_mean` and
`image_std` as JSON lists), else nothing is taken off. Nothing is trained here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pilotage.core import errors
from pilotage.core.artifacts import ImageEncoder, Layout
from pilotage.core.embeddings import encoders, folders
from pilotage.core.specs import Encoder

MOST_BYTES = 2_000_000_000
MOST_WIDTH = 16_384
"""Numbers of a vector."""


def read(wanted: Encoder, folder: Path) -> tuple[ImageEncoder, dict[str, bytes]]:
    """Description and files of the backbone that pilot.yaml names.

    Raises:
        EstimatorError: the file is not there, is no backbone of images, or does not fit its parameters.
    """
    path = (folder / str(wanted.backbone)).expanduser()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _wrong(path, f"has more than {MOST_BYTES:,} bytes")
        graph = path.read_bytes()
    except OSError as error:
        raise _wrong(path, f"cannot be read ({error.strerror})") from error
    try:
        session = encoders.session(graph)
    except errors.DataError as error:
        raise _wrong(path, f"cannot be loaded ({error.message})") from error
    return _described(session, wanted, path, graph), {folders.GRAPH: graph}


def _described(session: Any, wanted: Encoder, path: Path, graph: bytes) -> ImageEncoder:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        told = ", ".join(f"{item.name}: {item.type} {item.shape}" for item in inputs)
        raise _wrong(path, f"takes {told}, expected one input of floats with four axes")
    layout, channels, own = _axes(inputs[0].shape, path)
    size = _size(wanted, own, path)
    metadata = session.get_modelmeta().custom_metadata_map
    outputs = [item.name for item in session.get_outputs()]
    output = outputs[0] if wanted.output is None else wanted.output
    if output not in outputs:
        raise _wrong(path, f"has no output `{output}`, but {', '.join(outputs)}")
    shape = (1, channels, *size) if layout is Layout.CHANNELS_FIRST else (1, *size, channels)
    try:
        found = np.asarray(session.run([output], {inputs[0].name: np.zeros(shape, np.float32)})[0])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise _wrong(path, f"cannot take images of {size[0]} x {size[1]} pixels ({error})") from error
    if found.size > MOST_WIDTH:
        raise _wrong(path, f"gives {found.size:,} numbers of an image, at most {MOST_WIDTH:,} are taken")
    return ImageEncoder(
        name=path.name,
        width=found.size,
        graph=folders.digest_of(graph),
        input=inputs[0].name,
        output=output,
        layout=layout,
        size=size,
        channels=channels,
        mean=_by_channel("mean", wanted.mean, metadata.get("image_mean"), 0.0, channels, path),
        std=_by_channel("std", wanted.std, metadata.get("image_std"), 1.0, channels, path),
    )


def _axes(shape: Sequence[Any], path: Path) -> tuple[Layout, Literal[1, 3], tuple[Any, Any]]:
    """Layout, channels, and height and width as the file says them, which may be names."""
    first, last = shape[1], shape[3]
    if first in (1, 3):
        return Layout.CHANNELS_FIRST, first, (shape[2], shape[3])
    if last in (1, 3):
        return Layout.CHANNELS_LAST, last, (shape[1], shape[2])
    raise _wrong(path, f"takes images of shape {list(shape)}, expected 1 or 3 channels")


def _size(wanted: Encoder, own: tuple[Any, Any], path: Path) -> tuple[int, int]:
    asked = (wanted.size, wanted.size) if isinstance(wanted.size, int) else wanted.size
    fixed = tuple(side if isinstance(side, int) and side > 0 else None for side in own)
    if asked is None:
        if None in fixed:
            raise _wrong(path, "does not say how large its images are; say `size`")
        return fixed  # type: ignore[return-value]
    if any(side not in (None, given) for side, given in zip(fixed, asked, strict=True)):
        raise _wrong(path, f"takes images of {own[0]} x {own[1]} pixels, `size` is {asked[0]} x {asked[1]}")
    return asked


def _by_channel(
    what: str, asked: Sequence[float] | None, told: str | None, default: float, channels: int, path: Path
) -> tuple[float, ...]:
    values: Any = asked
    if values is None and told is not None:
        try:
            values = [float(value) for value in json.loads(told)]
        except (ValueError, TypeError) as error:
            raise _wrong(path, f"has metadata `image_{what}` {told!r}, expected a JSON list") from error
    if values is None:
        values = [default] * channels
    if len(values) != channels:
        raise _wrong(path, f"has {channels} channels, `{what}` has {len(values)} numbers")
    return tuple(float(value) for value in values)


def _wrong(path: Path, what: str) -> errors.EstimatorError:
    return errors.EstimatorError(f"The backbone `{path}` {what}.", remedy="Correct `train.encoders`.")
