"""The files of TLS are checked before a server listens, and no old protocol is spoken."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from tests.unit.serving.security import certificates
from tests.unit.serving.security.certificates import Pair

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.serving.security import tls


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return certificates.certify(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def pair(tmp_path: Path, authority: Pair) -> Pair:
    return certificates.certify(tmp_path, "server", authority)


def asked(pair: Pair, **more: Path) -> Settings:
    return settings.load(**{"tls_cert_file": pair.cert, "tls_key_file": pair.key, **more})


def test_nothing_asked_is_no_tls() -> None:
    plain = settings.load()
    assert tls.scheme(plain) == "http"
    assert tls.uvicorn_options(plain) == {}
    assert tls.grpc_credentials(plain) is None


def test_no_protocol_before_1_2_is_spoken(pair: Pair, authority: Pair) -> None:
    assert tls.scheme(asked(pair)) == "https"
    context = tls.server_context(asked(pair))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    mutual = tls.server_context(asked(pair, tls_client_ca_file=authority.cert))
    assert mutual.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tls_cert_file", None, "TLS_CERT_FILE.*cannot be read"),
        ("tls_cert_file", b"", "TLS_CERT_FILE.*holds no certificate"),
        ("tls_cert_file", b"nonsense", "TLS_CERT_FILE.*holds no certificate"),
        ("tls_key_file", None, "TLS_KEY_FILE"),
        ("tls_key_file", b"nonsense", "TLS_KEY_FILE.*is not the unencrypted private key"),
        ("tls_client_ca_file", None, "TLS_CLIENT_CA_FILE.*cannot be read"),
        ("tls_client_ca_file", b"nonsense", "TLS_CLIENT_CA_FILE.*holds no authority"),
    ],
    ids=["no cert", "empty cert", "bad cert", "no key", "bad key", "no authority", "bad authority"],
)
def test_a_file_that_cannot_be_used_names_its_variable(
    pair: Pair, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    place = tmp_path / "other.pem"
    if content is not None:
        place.write_bytes(content)
    for use in (tls.check, tls.uvicorn_options, tls.grpc_credentials):
        with pytest.raises(errors.SettingsError, match=message):
            use(asked(pair, **{name: place}))


def test_an_encrypted_key_is_refused_without_asking_a_terminal(pair: Pair, tmp_path: Path) -> None:
    place = tmp_path / "encrypted.pem"
    place.write_bytes(certificates.key_of(pair, password=b"secret"))
    with pytest.raises(errors.SettingsError, match="unencrypted"):
        tls.check(asked(pair, tls_key_file=place))


@pytest.mark.parametrize("given", ["tls_cert_file", "tls_key_file", "tls_client_ca_file"])
def test_one_file_without_the_others_is_refused(pair: Pair, given: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"PILOTAGE_TLS_.* without PILOTAGE_TLS_"):
        tls.check(settings.load(**{given: pair.cert}))


def test_a_certificate_near_its_end_is_warned_of(
    tmp_path: Path, authority: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    tls.check(asked(certificates.certify(tmp_path / "long", "server", authority, days=8)))
    assert caplog.messages == []
    tls.check(asked(certificates.certify(tmp_path / "short", "server", authority, days=6)))
    assert "expires at" in caplog.text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_files_are_looked_at_once_a_second_and_taken_when_they_can_be(
    pair: Pair, authority: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    renewal = tls._Renewal(asked(pair), clock)
    certificates.write_pair(certificates.certify(tmp_path / "new", "server", authority), pair)
    assert not renewal.look()
    clock.now = 1
    assert renewal.look()
    taken = renewal.context
    assert taken is not None
    clock.now = 2
    assert not renewal.look(), "what did not change was read again"
    pair.key.write_bytes(b"half of a")
    os.utime(pair.key, ns=(1, 1))
    for clock.now in (3, 4):
        assert not renewal.look()
    assert renewal.context is taken
    assert "stays in force" in caplog.text
