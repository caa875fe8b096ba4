"""The file of tokens: what a line may be, and what happens when it changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from pathlib import Path

import pytest

from pilotage.core import errors
from pilotage.serving.security import tokens
from pilotage.serving.security.tokens import Role, TokenFile

HASH = hashlib.sha256(b"secret").hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def write(file: Path, text: str, stamp: int = 0) -> None:
    """Write, with a time of its own even where the clock of the disk is coarse."""
    file.write_text(text)
    os.utime(file, ns=(stamp, stamp))


def test_lines_have_names_hashes_rates_and_roles(file: Path) -> None:
    other = hashlib.sha256(b"b").hexdigest()
    file.write_text(f"# ours\n\nci:{HASH.upper()}\n  nightly:{other}:2.5:metrics,predict  \n")
    found = tokens.read(file)
    assert [(token.name, token.rate) for token in found] == [("ci", None), ("nightly", 2.5)]
    assert [set(token.roles) for token in found] == [{Role.PREDICT}, {Role.PREDICT, Role.METRICS}]
    held = TokenFile(file)
    assert held.find(b"secret") == found[0]
    for wrong in (b"", b"Secret", b"secret ", HASH.encode(), bytes.fromhex(HASH)):
        assert held.find(wrong) is None


@pytest.mark.parametrize(
    "line",
    [
        "ci",
        "ci:",
        "ci:abc",
        f":{HASH}",
        f"a b:{HASH}",
        f"{'n' * 64}:{HASH}",
        f"ci:{HASH}:fast",
        f"ci:{HASH}:-1",
        f"ci:{HASH}:nan",
        f"ci:{HASH}:inf",
        f"ci:{HASH}:1:admin",
        f"ci:{HASH}:1:predict,",
        "plt_asecretputherebymistake",
    ],
)
def test_a_wrong_line_is_named_but_not_repeated(file: Path, line: str) -> None:
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(errors.SettingsError, match="PILOTAGE_AUTH_TOKENS_FILE: line 2") as caught:
        TokenFile(file)
    assert HASH not in str(caught.value)
    assert "plt_" not in str(caught.value)


def test_two_tokens_of_one_name_are_refused(file: Path) -> None:
    file.write_text(f"ci:{HASH}\nci:{'0' * 64}\n")
    with pytest.raises(errors.SettingsError, match="more than one token named ci"):
        TokenFile(file)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "binary"])
def test_a_file_that_cannot_be_read_is_a_wrong_setting(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(errors.SettingsError, match="PILOTAGE_AUTH_TOKENS_FILE"):
        TokenFile(file)


def test_a_change_is_taken_and_a_broken_file_leaves_what_was(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(file, f"ci:{HASH}\n", 1)
    held = TokenFile(file)
    assert not held.changed()
    with caplog.at_level(logging.ERROR):
        write(file, "nonsense\n", 2)
        assert not held.changed()
        file.unlink()
        assert not held.changed()
    assert len(caplog.messages) == 2
    assert held.find(b"secret") is not None
    write(file, f"ci:{'0' * 64}\n", 3)
    assert held.changed()
    assert held.find(b"secret") is None


def test_hashes_are_compared_in_constant_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(f"ci:{HASH}\n")
    held = TokenFile(file)
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert held.find(b"secret") is None, "something else than the comparison decided"
    assert compared == [(bytes.fromhex(HASH), bytes.fromhex(HASH))]


def test_a_line_is_added_also_where_the_last_one_has_no_end(file: Path) -> None:
    file.write_text(f"# by hand\nci:{HASH}")
    secret = tokens.add(file, "b", roles=frozenset({Role.METRICS}))
    again = tokens.add(file, "c", rate=0.5)
    assert file.read_text().startswith(f"# by hand\nci:{HASH}\nb:")
    held = TokenFile(file)
    found = held.find(secret.encode())
    assert found is not None
    assert (found.name, found.rate, set(found.roles)) == ("b", None, {Role.METRICS})
    slow = held.find(again.encode())
    assert slow is not None
    assert (slow.name, slow.rate) == ("c", 0.5)
    assert secret != again
