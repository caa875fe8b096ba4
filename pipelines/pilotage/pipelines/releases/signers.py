"""Signatures of commits, with an SSH key (in this process) or an OpenPGP key (by `gpg`).

An SSH signature is made as OpenSSH's PROTOCOL.sshsig says, so that an image needs no tools; `git
verify-commit` and forges check it against the public key. Which of them trust a key is theirs to say.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from pilotage.core import errors

_MAGIC, _NAMESPACE, _HASH = b"SSHSIG", b"git", b"sha512"
_GPG_SECONDS = 60.0
_VARIABLE = "PILOTAGE_RELEASE_KEY_FILE"


def sign(data: bytes, file: Path) -> bytes:
    """The armoured signature of `data` by the private key in `file`.

    Raises:
        SettingsError: the key cannot be used.
    """
    try:
        key = file.read_bytes()
    except OSError as error:
        raise errors.SettingsError(
            f"{_VARIABLE}: `{file}` cannot be read: {error.strerror}.", remedy="Correct the path or its mode."
        ) from error
    if b"BEGIN PGP PRIVATE KEY BLOCK" in key:
        return _sign_openpgp(data, file, key)
    return _sign_ssh(data, file, key)


def _sign_ssh(data: bytes, file: Path, text: bytes) -> bytes:
    key, public = _load_ssh(file, text)
    hashed = hashlib.sha512(data).digest()
    signed = _MAGIC + b"".join(_field(part) for part in (_NAMESPACE, b"", _HASH, hashed))
    kind, raw = _raw(key, signed, file)
    fields = (public, _NAMESPACE, b"", _HASH, _field(kind) + _field(raw))
    blob = _MAGIC + struct.pack(">I", 1) + b"".join(_field(part) for part in fields)
    encoded = base64.b64encode(blob)
    lines = [encoded[start : start + 70] for start in range(0, len(encoded), 70)]
    return b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----"]) + b"\n"


def _load_ssh(file: Path, text: bytes) -> tuple[Any, bytes]:
    """The key, and its public half as SSH writes it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = (
            serialization.load_ssh_private_key(text, password=None)
            if b"OPENSSH PRIVATE KEY" in text
            else serialization.load_pem_private_key(text, password=None)
        )
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        raise _unusable(file) from error
    return key, base64.b64decode(line.split(b" ")[1])


def _raw(key: Any, data: bytes, file: Path) -> tuple[bytes, bytes]:
    """Name of the algorithm and the signature, as SSH has them (RFC 8332, 5656, 8709)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return b"ssh-ed25519", key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        return b"rsa-sha2-512", key.sign(data, padding.PKCS1v15(), hashes.SHA512())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        found: dict[str, tuple[bytes, hashes.HashAlgorithm]] = {
            "secp256r1": (b"ecdsa-sha2-nistp256", hashes.SHA256()),
            "secp384r1": (b"ecdsa-sha2-nistp384", hashes.SHA384()),
            "secp521r1": (b"ecdsa-sha2-nistp521", hashes.SHA512()),
        }
        if key.curve.name in found:
            kind, hashing = found[key.curve.name]
            numbers = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashing)))
            return kind, b"".join(_field(_integer(number)) for number in numbers)
    raise _unusable(file)


def _field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _integer(number: int) -> bytes:
    """A positive number as SSH writes it: with a leading zero where it would look negative."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _unusable(file: Path) -> errors.SettingsError:
    return errors.SettingsError(
        f"{_VARIABLE}: `{file}` is no private key that signs commits without a passphrase.",
        remedy="`ssh-keygen -t ed25519 -N '' -f FILE` makes one; an OpenPGP key works where `gpg` is.",
    )


def _sign_openpgp(data: bytes, file: Path, key: bytes) -> bytes:
    """By `gpg`, in a folder of its own that knows this key alone."""
    if shutil.which("gpg") is None:
        raise errors.SettingsError(
            f"{_VARIABLE}: `{file}` is an OpenPGP key, and there is no `gpg` on this machine.",
            remedy="Install GnuPG, or use an SSH key, which needs nothing.",
        )
    with tempfile.TemporaryDirectory(prefix="pilotage-gpg-") as home:
        try:
            _gpg(home, ["--import"], key)
            return _gpg(home, ["--armor", "--detach-sign"], data)
        except (subprocess.SubprocessError, OSError) as error:
            told = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip()[-200:]
            raise errors.SettingsError(
                f"{_VARIABLE}: `gpg` cannot sign with `{file}`: {told}.",
                remedy="Export a secret key without a passphrase: `gpg --armor --export-secret-keys ID`.",
            ) from error
        finally:
            if shutil.which("gpgconf"):  # ends the agent that gpg started in this folder
                _call(["gpgconf", "--homedir", home, "--kill", "all"], home, b"")


def _gpg(home: str, words: list[str], data: bytes) -> bytes:
    options = ["--homedir", home, "--batch", "--no-tty", "--quiet", "--pinentry-mode", "error"]
    return _call(["gpg", *options, *words], home, data)


def _call(command: list[str], home: str, data: bytes) -> bytes:
    environment = {**os.environ, "GNUPGHOME": home, "LC_ALL": "C"}
    done = subprocess.run(  # noqa: S603 - words of ours and a folder of ours
        command, input=data, capture_output=True, check=True, timeout=_GPG_SECONDS, env=environment
    )
    return done.stdout
