"""Secrets stay at home: those that are known, and those that look like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.console.operations.evidence import redactions
from pilotage.core import settings


def test_every_secret_that_the_installation_knows_is_taken_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", "postgresql://reader:p%40ss-word@db/x")
    monkeypatch.setenv("MY_API_KEY", "planted-api-key")
    found = settings.load(
        home=home,
        installation_key="planted-installation-key",
        token="planted-token",
        database_url="postgresql+psycopg://own:planted-own@db/pilotage",
    )
    known = redactions.secrets(found, {"data": {"source": {"url": "env:WAREHOUSE"}}})
    for secret in (
        *("planted-installation-key", "planted-token", "planted-own", "planted-api-key"),
        *("p%40ss-word", "p@ss-word", "postgresql://reader:p%40ss-word@db/x"),
    ):
        assert secret not in redactions.text(f"so {secret} it is", known)


@pytest.mark.parametrize(
    ("told", "clean"),
    [
        ("postgresql://me:hunter2@db/x", "postgresql://***:***@db/x"),
        ("s3://bucket/path and me@example.org", "s3://bucket/path and me@example.org"),
        ("https://db:5432/x", "https://db:5432/x"),
    ],
)
def test_passwords_in_addresses_are_taken_out(told: str, clean: str) -> None:
    assert redactions.text(told, ()) == clean


def test_what_is_under_the_key_of_a_secret_is_taken_out_at_any_depth() -> None:
    told = {
        "a": [{"Password": "x", "token_count": 3, "rows": "y"}],
        "api_key": "z",
        "secret_name": "s",
        "token": "",
    }
    assert redactions.document(told, ()) == {
        "a": [{"Password": "***", "token_count": 3, "rows": "y"}],
        "api_key": "***",
        "secret_name": "***",
        "token": "",
    }


def test_a_secret_is_taken_out_of_pages_that_escaped_it(home: Path) -> None:
    known = redactions.secrets(settings.load(home=home, token="planted<&'token"), {})
    for shown in ("planted<&'token", "planted&lt;&amp;&#39;token", "planted&lt;&amp;&#x27;token"):
        assert redactions.text(f"so {shown} it is", known) == "so *** it is"
