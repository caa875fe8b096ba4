"""From the bytes of an image to the pixels that a backbone takes, with limits on what is decoded.

An image is text in rows and snapshots: its file's bytes in base64. Only the formats of
`FORMATS` are decoded, and none with more pixels than `MOST_PIXELS`, so that a small file
cannot fill the memory.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from pilotage.core import errors
from pilotage.core.artifacts import ImageEncoder
from pilotage.core.artifacts.encoders import Layout

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
MOST_BYTES = 20_000_000
"""Of an image's file."""
MOST_PIXELS = 50_000_000
MOST_PIXELS_TOGETHER = 200_000_000
"""Of one request: a page of white takes a few kilobytes and a third of a second."""
_STRIP = 256
"""Lines that are worked on at once where that takes several times an image's memory."""
_trusted: ContextVar[bool] = ContextVar("trusted", default=False)
_MODES = {1: "L", 3: "RGB"}


class Unreadable(ValueError):
    """Bytes that are no image that is decoded here; says why."""


def encode(data: bytes) -> str:
    """An image's bytes as rows and snapshots have them."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of an image.

    Raises:
        Unreadable: it is not base64, empty or too large.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) > MOST_BYTES * 4 // 3 + 4:
        raise Unreadable(f"it has more than {MOST_BYTES:,} bytes")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable("it is not base64") from error
    if not data:
        raise Unreadable("it is empty")
    return data


def pixels(data: bytes, channels: int) -> Any:
    """The decoded image upright, in grey or in colour, transparent parts on white.

    Raises:
        Unreadable: it is of no known format, damaged or too large.
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise errors.MissingExtra(
            f"Image columns need Pillow: {error}.",
            remedy='`pip install "pilotage[encoders]"`, or take the image tagged `…-estimators`.',
            package="pillow",
        ) from error
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            warnings.simplefilter("ignore")  # of a large image, which the next line judges
            if opened.width * opened.height > MOST_PIXELS:
                raise Unreadable(
                    f"it has {opened.width} x {opened.height} pixels, at most {MOST_PIXELS:,} are taken"
                )
            ImageOps.exif_transpose(opened, in_place=True)
            if opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info:
                return _on_white(opened).convert(_MODES[channels])
            if opened.mode.startswith(("I", "F")):
                return _eight_bits(opened).convert(_MODES[channels])
            return opened.convert(_MODES[channels])
    except Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise Unreadable(f"it is none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"it has more than {MOST_PIXELS:,} pixels") from error
    except Exception as error:  # decoders raise whatever they meet in damaged bytes
        raise Unreadable(f"it is damaged: {error}") from error


def _on_white(image: Any) -> Any:
    """An image with transparent parts, in colour."""
    from PIL import Image

    image.load()
    found = Image.new("RGB", image.size)
    for top, part in _strips(image):
        clear = part.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        found.paste(Image.alpha_composite(white, clear).convert("RGB"), (0, top))
    return found


def _eight_bits(image: Any) -> Any:
    """A grey image of 16 bits or more, which Pillow would cut off at 255, on the scale of 8."""
    from PIL import Image

    whole = image.mode.startswith("I")
    scale = 65535.0 if whole else max(float(np.asarray(image).max(initial=0.0)), 1.0)
    found = Image.new("L", image.size)
    for top, part in _strips(image):
        values = np.asarray(part, dtype=np.float64)
        found.paste(Image.fromarray(np.clip(values / scale * 255.0, 0, 255).astype(np.uint8)), (0, top))
    return found


def _strips(image: Any) -> Iterator[tuple[int, Any]]:
    for top in range(0, image.height, _STRIP):
        yield top, image.crop((0, top, image.width, min(top + _STRIP, image.height)))


@contextmanager
def trusted() -> Iterator[None]:
    """Take any number of pixels together: rows of the pilot's own data, not of a request."""
    token = _trusted.set(True)
    try:
        yield
    finally:
        _trusted.reset(token)


def too_many(together: int) -> bool:
    """Whether images of so many pixels are more than one request may send."""
    return together > MOST_PIXELS_TOGETHER and not _trusted.get()


def check(text: str) -> int:
    """How many pixels a text in a row has.

    Raises:
        Unreadable: it is no image that a model can take.
    """
    found = pixels(decode(text), 1)
    return int(found.width * found.height)


class Reader:
    """Prepares images for one encoder; for several threads."""

    def __init__(self, about: ImageEncoder) -> None:
        self._about = about
        self._mean = np.array(about.mean, dtype=np.float32)
        self._std = np.array(about.std, dtype=np.float32)

    @staticmethod
    def says(text: str) -> bool:
        """Whether there is an image."""
        return bool(text)

    def feed(self, text: str) -> dict[str, Any]:
        """What the graph takes for one image."""
        about = self._about
        height, width = about.size
        image = pixels(decode(text), about.channels).resize((width, height), resample=_BILINEAR)
        values = np.asarray(image, dtype=np.float32).reshape(height, width, about.channels) / np.float32(255)
        values = (values - self._mean) / self._std
        if about.layout is Layout.CHANNELS_FIRST:
            values = values.transpose(2, 0, 1)
        return {about.input: np.ascontiguousarray(values[np.newaxis])}

    @staticmethod
    def is_cut(text: str) -> bool:
        """Images are read whole."""
        return False


_BILINEAR = 2
"""Pillow's number for it; it also averages where an image becomes smaller."""
