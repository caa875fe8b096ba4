"""What turns texts or images into vectors: a graph, what must be done before it, and whose weights it has.

Encoders are in the storage under the digest of this description, which names the
digests of their files; so versions that have one in common share it, and whoever
knows the digest knows every byte.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from pilotage.core.artifacts.bases import Artifact, Digest


class Layout(StrEnum):
    """How an image lies in the graph's input."""

    CHANNELS_FIRST = "nchw"
    CHANNELS_LAST = "nhwc"


class TextEncoder(Artifact):
    """A sentence encoder: a tokenizer, and a graph from one text's tokens to its vector."""

    FILE = "manifest.json"
    kind: Literal["text_encoder"] = "text_encoder"
    schema_version: Literal[1] = 1
    name: str
    """What pilot.yaml called it, for people."""
    width: Annotated[int, Field(ge=1)]
    """Numbers of a vector."""
    graph: Digest
    """Of `model.onnx`."""
    tokenizer: Digest
    """Of `tokenizer.json`."""
    most_tokens: Annotated[int, Field(ge=2)]
    """What a text has beyond is not read."""
    tuned: bool = False
    """Whether a pilot's own rows changed its weights."""


class ImageEncoder(Artifact):
    """A backbone: a graph from one image's pixels to its vector."""

    FILE = "manifest.json"
    kind: Literal["image_encoder"] = "image_encoder"
    schema_version: Literal[1] = 1
    name: str
    width: Annotated[int, Field(ge=1)]
    graph: Digest
    """Of `model.onnx`."""
    input: str
    """Name of the graph's input."""
    output: str
    layout: Layout
    size: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]]
    """Height and width in pixels that images are brought to."""
    channels: Literal[1, 3]
    """Grey, or red, green and blue."""
    mean: tuple[float, ...]
    """Of each channel, for pixels from 0 to 1; taken off."""
    std: tuple[float, ...]
    """What is divided by then."""
