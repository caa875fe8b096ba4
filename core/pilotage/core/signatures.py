"""OpenSSF signatures of model folders: made at registration, checked before anything is loaded.

A signature covers every file of the folder: estimator, code, inference form and what
Pilotage knows of them. It is checked with a public key alone and without a
network. `pilotage.core.models.sign` is another thing: it tells an installation which pickles are
its own, with a secret that nobody else has. Which version may have which files is
asked here too, for a signed folder could be put in the place of another.
"""

from __future__ import annotations

import base64
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.core import errors, storage
from pilotage.core.artifacts import Model
from pilotage.core.settings import Settings

if TYPE_CHECKING:
    from model_signing.hashing import Config as Hashing

    from pilotage.core.registry import Registered

FILE = "pilotage/model.sig"
"""The signature, inside a model folder: a Sigstore bundle."""
MODEL_TAG = "pilotage.model"
"""Tag of a version: the digest of its model's file."""
_INSIDE = "pilotage"
_UNSIGNED = (FILE, "registered_model_meta")
"""What a signature cannot cover: itself, and a note in what MLflow downloads, which nobody reads."""
_SIGNING = "PILOTAGE_SIGNING_KEY_FILE"
_VERIFY = "PILOTAGE_VERIFY_KEY_FILE"


def check(settings: Settings) -> None:
    """Raises SettingsError when a key that the settings name cannot be used."""
    if settings.signing_key_file is not None:
        _load_key(_SIGNING, settings.signing_key_file, private=True)
    if settings.verify_key_file is not None:
        _load_key(_VERIFY, settings.verify_key_file, private=False)


def sign(folder: Path, file: Path, digest: str) -> None:
    """Sign all files of a model folder.

    Args:
        folder: complete.
        file: the private key.
        digest: what the model's file must have, so that nothing is signed that was not judged.

    Raises:
        SettingsError: the key cannot be used.
        UntrustedModel: the model's file is another one.
    """
    _load_key(_SIGNING, file, private=True)
    from model_signing import signing

    from pilotage.core.models import FILES

    model = Model.read(folder / _INSIDE)
    if storage.file_digest(folder / FILES[model.format]) != digest:
        raise errors.UntrustedModel(
            f"The model in `{folder}` is not the one that was trained and judged; it is not signed.",
            remedy="Run the pilot again.",
        )
    _drop_bytecode(folder)
    signer = signing.Config().use_elliptic_key_signer(private_key=file).set_hashing_config(_hashing())
    draft = folder.parent / f".{folder.name}.sig"
    try:
        signer.sign(folder, draft)
        storage.write_file(folder / FILE, draft.read_bytes())
    finally:
        draft.unlink(missing_ok=True)


def verified(folder: Path, settings: Settings) -> Path:
    """The model folder, if the settings name no key to check it with or its signature is right.

    Raises:
        SettingsError: the key cannot be used.
        UntrustedModel: the folder is not signed, or not as it is now, or with another key.
    """
    file = settings.verify_key_file
    if file is None:
        return folder
    _load_key(_VERIFY, file, private=False)
    if not (folder / FILE).is_file():
        raise errors.UntrustedModel(
            f"The model in `{folder}` is not signed, and {_VERIFY} is set.",
            remedy=f"Train it again with {_SIGNING} set.",
        )
    from model_signing import verifying

    _drop_bytecode(folder)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=file).set_hashing_config(_hashing())
    try:
        verifier.verify(folder, folder / FILE)
    except Exception as error:  # the library raises whatever it meets in a file that is no signature
        raise errors.UntrustedModel(
            f"The signature of the model in `{folder}` is wrong: {str(error)[:500] or type(error).__name__}.",
            remedy=f"Its files were changed, or {_VERIFY} is not the key of who signed it. Do not load it.",
        ) from error
    return folder


def require_match(folder: Path, registered: Registered, settings: Settings) -> None:
    """Raise UntrustedModel when a signed folder is of another pilot or version than `registered`."""
    if settings.verify_key_file is None:
        return
    model = Model.read(folder / _INSIDE)
    tagged = registered.tags.get(MODEL_TAG, model.digest)
    if (model.pilot, model.digest) != (registered.name, tagged):
        raise errors.UntrustedModel(
            f"The files of version {registered.version} of `{registered.name}` are signed, but are those of"
            f" another version or of pilot `{model.pilot}`.",
            remedy="Put back the files that were registered, or train again.",
        )


def _hashing() -> Hashing:
    """Every file by itself, those of git included."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=_UNSIGNED, ignore_git_paths=False)


def _drop_bytecode(folder: Path) -> None:
    """Remove what Python compiled of the folder's code, which nobody signed, and have it compile no more."""
    sys.dont_write_bytecode = True
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)


def _load_key(variable: str, file: Path, *, private: bool) -> Any:
    """The elliptic-curve key in `file`; raises SettingsError when there is none."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    kind = "private" if private else "public"
    try:
        data = file.read_bytes()
        key: Any = (
            serialization.load_pem_private_key(data, password=None)
            if private
            else serialization.load_pem_public_key(data)
        )
    except OSError as error:
        raise errors.SettingsError(
            f"{variable}: `{file}` cannot be read: {error.strerror}.", remedy="Correct the path or its mode."
        ) from error
    except (ValueError, TypeError) as error:
        raise errors.SettingsError(
            f"{variable}: `{file}` is not an unencrypted {kind} key in PEM.",
            remedy="`pilotage keys new FOLDER` makes a pair.",
        ) from error
    curve = key.curve.name if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)) else ""
    if curve not in ("secp256r1", "secp384r1", "secp521r1"):
        raise errors.SettingsError(
            f"{variable}: `{file}` is not a {kind} key on the curve P-256, P-384 or P-521.",
            remedy="`pilotage keys new FOLDER` makes a pair.",
        )
    return key


def sign_bytes(content: bytes, file: Path) -> bytes:
    """A signature of `content` with the private key in `file`: ECDSA with SHA-256, in base64.

    Of the same bytes it is the same where the library can do that (RFC 6979).

    Raises:
        SettingsError: the key cannot be used.
    """
    key = _load_key(_SIGNING, file, private=True)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        made: bytes = key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    except UnsupportedAlgorithm:
        made = key.sign(content, ec.ECDSA(hashes.SHA256()))
    return base64.b64encode(made) + b"\n"


def is_signed(content: bytes, signature: bytes, file: Path) -> bool:
    """Whether `signature` is of `content`, by the public key in `file`.

    Raises:
        SettingsError: the key cannot be used.
    """
    key = _load_key(_VERIFY, file, private=False)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key.verify(base64.b64decode(signature.strip(), validate=True), content, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Make a pair of keys in `folder`; returns the files of the private and of the public one.

    Raises:
        SettingsError: one of the files is there already.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = folder / "signing.pem", folder / "verify.pem"
    for file in (private, public):
        if file.exists():
            raise errors.SettingsError(f"`{file}` is there already.", remedy="Choose another folder.")
    key = ec.generate_private_key(ec.SECP256R1())
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    storage.write_file(
        public,
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )
    return private, public
