"""Encoders in the storage: written once under their digest, fetched and checked before they are used.

Nothing is loaded into a runtime here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pilotage.core import errors, storage
from pilotage.core.artifacts import ImageEncoder, TextEncoder
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage

GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
Encoder = TextEncoder | ImageEncoder


def name(digest: str) -> str:
    """Of an encoder's folder in the storage."""
    return f"encoders/{digest}"


def publish(settings: Settings, encoder: Encoder, files: Mapping[str, bytes]) -> str:
    """Put an encoder into the storage, unless it is there; returns its digest."""
    digest = encoder.content_digest
    store = Storage(settings.storage)
    if not store.published(name(digest)):
        with store.staging() as folder:
            for file, content in files.items():
                (folder / file).write_bytes(content)
            encoder.write(folder)
            store.publish(folder, name(digest))
    return digest


def fetch(settings: Settings, digest: str) -> Path:
    """A local folder with the encoder, each of whose files is what the digest says.

    Raises:
        NotFound: the storage does not hold it.
        UntrustedModel: a file is another one.
    """
    store = Storage(settings.storage)
    try:
        folder = store.fetch(name(digest), settings.home / "cache")
    except errors.NotFound as error:
        raise errors.NotFound(
            f"The encoder {digest[:12]} of this model is not in `{settings.storage}`.",
            remedy="Restore `encoders/` of the storage, or train the pilot again.",
        ) from error
    encoder = describe(folder)
    wanted = {GRAPH: encoder.graph}
    if isinstance(encoder, TextEncoder):
        wanted[TOKENIZER] = encoder.tokenizer
    right = encoder.content_digest == digest
    if not right or any(storage.file_digest(folder / file) != told for file, told in wanted.items()):
        raise errors.UntrustedModel(
            f"The files of encoder {digest[:12]} in `{folder}` are not those that it was made of.",
            remedy="Remove the folder, and train the pilot again.",
        )
    return folder


def describe(folder: Path) -> Encoder:
    """What an encoder's folder holds.

    Raises:
        NotFound, DataError: it is no encoder's.
    """
    text = (folder / TextEncoder.FILE).read_bytes() if (folder / TextEncoder.FILE).is_file() else b""
    return ImageEncoder.read(folder) if b'"image_encoder"' in text else TextEncoder.read(folder)


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
