"""A model folder is loaded as it was signed, or not at all."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.unit.serving import small_models

from pilotage.core import errors, settings, signatures, storage
from pilotage.core.registry import Registered
from pilotage.core.settings import Settings


@pytest.fixture(autouse=True)
def _bytecode() -> Iterator[None]:
    """Checking has Python write no bytecode any more; other tests may."""
    before = sys.dont_write_bytecode
    yield
    sys.dont_write_bytecode = before


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return signatures.make_keys(tmp_path / "keys")


@pytest.fixture
def verifying(keys: tuple[Path, Path]) -> Settings:
    return settings.load(verify_key_file=keys[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with code and a form beside the estimator."""
    made = small_models.write(tmp_path / "store" / "model", small_models.predictor(), settings.load())
    (made / "code").mkdir()
    (made / "code" / "own.py").write_text("x = 1\n")
    (made / "pilotage" / "form").mkdir()
    (made / "pilotage" / "form" / "model.onnx").write_bytes(b"graph")
    return made


@pytest.fixture
def signed(folder: Path, keys: tuple[Path, Path]) -> Path:
    signatures.sign(folder, keys[0], digest_of(folder))
    return folder


def digest_of(folder: Path) -> str:
    return storage.file_digest(folder / "model.skops")


def test_without_a_key_nothing_is_asked(folder: Path) -> None:
    assert signatures.verified(folder, settings.load()) == folder


def test_a_signed_folder_is_right_also_in_another_place(signed: Path, verifying: Settings) -> None:
    assert signatures.verified(signed, verifying) == signed
    moved = signed.rename(signed.with_name("elsewhere"))
    (moved / "registered_model_meta").write_text("model_name: flights\n")
    assert signatures.verified(moved, verifying) == moved


def test_signing_again_replaces_the_signature(
    signed: Path, keys: tuple[Path, Path], verifying: Settings
) -> None:
    (signed / "pilotage" / "form" / "model.onnx").write_bytes(b"another graph")
    signatures.sign(signed, keys[0], digest_of(signed))
    assert signatures.verified(signed, verifying) == signed
    assert {path.name for path in signed.parent.iterdir()} == {"model"}, "a draft is left"


def append(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        with (folder / name).open("ab") as stream:
            stream.write(b" ")

    return change


def add(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("evil = True\n")

    return change


def link_out(folder: Path) -> None:
    (folder / "code" / "link.py").symlink_to("/etc/hostname")


CHANGES: dict[str, Callable[[Path], object]] = {
    "estimator": append("model.skops"),
    "facts": append("pilotage/model.json"),
    "profile": append("pilotage/reference_profile.json"),
    "form": append("pilotage/form/model.onnx"),
    "code": append("code/own.py"),
    "mlflow": append("MLmodel"),
    "more code": add("code/more.py"),
    "more facts": add("pilotage/more.json"),
    "folder of git": add(".git/hooks"),
    "file of git": add(".gitignore"),
    "link": link_out,
    "less code": lambda folder: (folder / "code" / "own.py").unlink(),
    "renamed code": lambda folder: (folder / "code" / "own.py").rename(folder / "code" / "other.py"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_refused(signed: Path, verifying: Settings, change: Callable[[Path], object]) -> None:
    change(signed)
    with pytest.raises(errors.UntrustedModel, match="is wrong"):
        signatures.verified(signed, verifying)


def test_bytecode_that_was_planted_is_removed(signed: Path, verifying: Settings) -> None:
    planted = signed / "code" / "__pycache__" / "own.cpython-311.pyc"
    planted.parent.mkdir()
    planted.write_bytes(b"evil")
    signatures.verified(signed, verifying)
    assert not planted.exists()
    assert sys.dont_write_bytecode


def test_no_signature_is_refused(folder: Path, verifying: Settings) -> None:
    with pytest.raises(errors.UntrustedModel, match=r"is not signed.*PILOTAGE_SIGNING_KEY_FILE"):
        signatures.verified(folder, verifying)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"dsseEnvelope": {"payload": "e30="}}']
)
def test_what_is_no_signature_is_refused(signed: Path, verifying: Settings, content: bytes) -> None:
    (signed / signatures.FILE).write_bytes(content)
    with pytest.raises(errors.UntrustedModel, match="is wrong"):
        signatures.verified(signed, verifying)


def test_the_signature_of_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    _, public = signatures.make_keys(tmp_path / "others")
    with pytest.raises(errors.UntrustedModel, match="is wrong"):
        signatures.verified(signed, settings.load(verify_key_file=public))


def test_a_claim_of_the_right_key_does_not_help(
    signed: Path, keys: tuple[Path, Path], verifying: Settings, tmp_path: Path
) -> None:
    """The bundle names its key; what counts is who signed."""
    hint = json.loads((signed / signatures.FILE).read_text())["verificationMaterial"]
    private, _ = signatures.make_keys(tmp_path / "others")
    signatures.sign(signed, private, digest_of(signed))
    forged = json.loads((signed / signatures.FILE).read_text()) | {"verificationMaterial": hint}
    (signed / signatures.FILE).write_text(json.dumps(forged))
    with pytest.raises(errors.UntrustedModel, match="is wrong"):
        signatures.verified(signed, verifying)


def test_nothing_is_signed_that_was_not_judged(folder: Path, keys: tuple[Path, Path]) -> None:
    digest = digest_of(folder)
    append("model.skops")(folder)
    with pytest.raises(errors.UntrustedModel, match="not the one that was trained and judged"):
        signatures.sign(folder, keys[0], digest)
    assert not (folder / signatures.FILE).exists()


def registered(name: str, **tags: str) -> Registered:
    return Registered(name, 3, "run", "nowhere", datetime(2026, 1, 1, tzinfo=UTC), tags)


def test_a_signed_folder_stands_for_its_own_version_only(signed: Path, verifying: Settings) -> None:
    digest = digest_of(signed)
    signatures.require_match(signed, registered("flights", **{signatures.MODEL_TAG: digest}), verifying)
    signatures.require_match(signed, registered("flights"), verifying)
    for other in (registered("diamonds"), registered("flights", **{signatures.MODEL_TAG: "0" * 64})):
        signatures.require_match(signed, other, settings.load())
        with pytest.raises(errors.UntrustedModel, match="another version or of pilot `flights`"):
            signatures.require_match(signed, other, verifying)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


@pytest.mark.parametrize("name", ["signing_key_file", "verify_key_file"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "not an unencrypted"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not an unencrypted"),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "not an unencrypted"),
        (pem(rsa.generate_private_key(65537, 2048)), "P-256"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "P-256"),
    ],
    ids=["missing", "empty", "broken", "encrypted", "rsa", "koblitz"],
)
def test_a_key_that_cannot_be_used_names_its_variable(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    if name == "verify_key_file" and content and message == "P-256":
        key = serialization.load_pem_private_key(content, None)
        file.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    with pytest.raises(errors.SettingsError, match=message) as caught:
        signatures.check(settings.load(**{name: file}))
    assert f"PILOTAGE_{name.upper()}" in str(caught.value)


def test_keys_are_made_once_and_the_private_one_is_its_owners(keys: tuple[Path, Path]) -> None:
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    signatures.check(settings.load(signing_key_file=private, verify_key_file=public))
    with pytest.raises(errors.SettingsError, match="is there already"):
        signatures.make_keys(private.parent)
