"""`pilotage tokens new` and `keys new`: secrets are shown or written once."""

from __future__ import annotations

import asyncio
import logging
import stat
from pathlib import Path

import pytest
from tests.unit.console.calls import Call

from pilotage.core import settings, signatures
from pilotage.serving import addresses
from pilotage.serving.security.guards import Guard
from pilotage.serving.security.tokens import Role, TokenFile


def test_a_new_token_is_taken_by_servers_and_only_its_hash_is_kept(call: Call, home: Path) -> None:
    made = call("tokens", "new", "ci", "--rate", "5", "--roles", "predict,metrics")
    token = made.out.strip()
    assert made.code == 0
    assert token.startswith("plt_")
    assert token not in made.err
    assert f"PILOTAGE_AUTH_TOKENS_FILE={home / 'tokens'}" in made.err
    text = (home / "tokens").read_text()
    assert token not in text
    assert stat.S_IMODE((home / "tokens").stat().st_mode) == 0o600
    guard = Guard(TokenFile(home / "tokens"), None)
    assert asyncio.run(guard.resolve(f"Bearer {token}".encode(), Role.METRICS)) == "ci"


def test_the_file_of_the_settings_is_the_one_that_grows(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "secrets" / "tokens"
    monkeypatch.setenv("PILOTAGE_AUTH_TOKENS_FILE", str(place))
    for name in ("a", "b"):
        assert call("tokens", "new", name, "--json").document["file"] == str(place)
    assert [line.split(":")[0] for line in place.read_text().splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "has a token of this name already"),
        (["a b"], "cannot take it as a name"),
        (["c:d"], "cannot take it as a name"),
        (["c", "--roles", "admin"], "no role `admin`"),
    ],
    ids=["taken", "space", "colon", "role"],
)
def test_what_cannot_be_a_token_is_refused(call: Call, home: Path, arguments: list[str], said: str) -> None:
    call("tokens", "new", "a")
    before = (home / "tokens").read_bytes()
    refused = call("tokens", "new", *arguments, "--json")
    assert refused.code == 2
    assert said in refused.document["error"]["message"]
    assert (home / "tokens").read_bytes() == before


def test_new_keys_can_be_used_as_they_are_shown(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in call("keys", "new", str(tmp_path / "keys")).out.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    found = settings.load()
    assert found.verify_key_file == tmp_path / "keys" / "verify.pem"
    signatures.check(found)
    assert call("keys", "new", str(tmp_path / "keys")).code == 2


@pytest.mark.parametrize(
    ("host", "given", "said"),
    [
        ("127.0.0.1", {}, []),
        ("::1", {}, []),
        ("localhost", {}, []),
        ("0.0.0.0", {}, ["asks for no token", "in the clear"]),
        ("::", {"auth_jwks": "keys.json"}, ["in the clear"]),
        ("10.0.0.1", {"tls_cert_file": "c", "tls_key_file": "k"}, ["asks for no token"]),
        ("serve.example", {"tls_cert_file": "c", "tls_key_file": "k", "tls_client_ca_file": "a"}, []),
        ("0.0.0.0", {"auth_tokens_file": "t", "tls_cert_file": "c"}, []),
    ],
    ids=["v4", "v6", "name", "open", "clear", "anybody", "mutual", "closed"],
)
def test_an_open_server_is_warned_of(
    caplog: pytest.LogCaptureFixture, host: str, given: dict[str, str], said: list[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        addresses.warn_if_open(host, settings.load(**given))
    assert len(caplog.messages) == len(said)
    assert all(part in message for part, message in zip(said, caplog.messages, strict=True))
