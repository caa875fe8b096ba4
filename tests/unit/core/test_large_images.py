"""Images are decoded strip by strip to what decoding them whole gives."""

from __future__ import annotations

import io

import numpy as np
import pytest

from pilotage.core.embeddings import images

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def png(image: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")  # type: ignore[attr-defined]
    return out.getvalue()


def test_transparent_parts_are_white_in_every_strip() -> None:
    shades = np.random.default_rng(0).integers(0, 256, (images._STRIP * 2 + 7, 9, 4)).astype(np.uint8)
    whole = Image.fromarray(shades)
    wanted = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    assert np.array_equal(np.asarray(images.pixels(png(whole), 3)), np.asarray(wanted))


def test_sixteen_bits_become_eight_in_every_strip() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (images._STRIP * 2 + 7, 9)).astype(np.uint16)
    found = np.asarray(images.pixels(png(Image.fromarray(values)), 1))
    assert np.array_equal(found, (values / 65535.0 * 255.0).astype(np.uint8))
