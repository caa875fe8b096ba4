"""Signatures of commits, checked by OpenSSH and GnuPG themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pilotage.core import errors
from pilotage.pipelines.releases import signers

DATA = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nRelease\n"
needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not here")
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not here")


def make_key(folder: Path, *words: str) -> Path:
    file = folder / "key"
    command = ["ssh-keygen", "-q", "-N", "", "-C", "pilotage", "-f", str(file), *words]
    subprocess.run(command, check=True, capture_output=True)
    return file


@needs_ssh
@pytest.mark.parametrize(
    "words",
    [
        *(("-t", "ed25519"), ("-t", "ecdsa", "-b", "256"), ("-t", "ecdsa", "-b", "521")),
        ("-t", "rsa", "-b", "2048", "-m", "PEM"),
    ],
    ids=["ed25519", "p-256", "p-521", "rsa as PEM"],
)  # fmt: skip
def test_openssh_takes_an_ssh_signature_and_no_other_data(tmp_path: Path, words: tuple[str, ...]):
    file = make_key(tmp_path, *words)
    (tmp_path / "data.sig").write_bytes(signers.sign(DATA, file))
    (tmp_path / "allowed").write_text(f"pilotage {file.with_suffix('.pub').read_text()}")
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "pilotage", "-n", "git", "-s", "data.sig"]

    def check(data: bytes) -> int:
        return subprocess.run(command, input=data, cwd=tmp_path, capture_output=True, check=False).returncode

    assert check(DATA) == 0
    assert check(DATA + b"x") != 0


@needs_gpg
def test_gnupg_takes_an_openpgp_signature(tmp_path: Path):
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*words: str, data: bytes = b"") -> bytes:
        command = [
            "gpg",
            "--homedir",
            str(home),
            "--batch",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            *words,
        ]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    gpg("--quick-gen-key", "Pilotage <pilotage@localhost>", "ed25519", "sign", "never")
    file = tmp_path / "key.asc"
    file.write_bytes(gpg("--armor", "--export-secret-keys"))
    signature = tmp_path / "data.asc"
    signature.write_bytes(signers.sign(DATA, file))
    (tmp_path / "data").write_bytes(DATA)
    assert signature.read_bytes().startswith(b"-----BEGIN PGP SIGNATURE-----")
    gpg("--verify", str(signature), str(tmp_path / "data"))
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


@pytest.mark.parametrize(
    "text", ["", "no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key_is_refused_without_its_content(tmp_path: Path, text: str):
    (tmp_path / "key").write_text(text + "s3cret")
    with pytest.raises(errors.SettingsError, match="no private key") as caught:
        signers.sign(DATA, tmp_path / "key")
    assert "s3cret" not in str(caught.value)


def test_a_key_that_is_not_there_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(errors.SettingsError, match="cannot be read"):
        signers.sign(DATA, tmp_path / "none")


@needs_ssh
def test_a_key_with_a_passphrase_is_refused(tmp_path: Path):
    file = make_key(tmp_path, "-t", "ed25519")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "word", "-f", str(file)], check=True, capture_output=True
    )
    with pytest.raises(errors.SettingsError, match="without a passphrase"):
        signers.sign(DATA, file)
