"""The file of webhooks: what is wrong is named, and no secret is in it or in what is said about it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines.webhooks import endpoints, signatures

SECRET = signatures.new_secret()
GOOD = "- {name: ops, url: 'https://hooks.example.org/T0/abc?x=1', secret: 'env:HOOK'}\n"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., endpoints.Endpoints]:
    """Load a file with this text, `HOOK` being a secret."""
    monkeypatch.setenv("HOOK", SECRET)

    def read(text: str, **overrides: object) -> endpoints.Endpoints:
        file = tmp_path / "webhooks.yaml"
        file.write_text(text)
        return endpoints.load(settings.load(home=tmp_path / "home", webhooks_file=file, **overrides))

    return read


def test_no_file_is_nobody(tmp_path: Path):
    assert endpoints.load(settings.load(home=tmp_path)).all == ()


def test_an_endpoint_wants_what_it_names(load: Callable[..., endpoints.Endpoints]):
    text = GOOD.replace("}", ", events: ['pilotage.trigger.*'], pilots: [flights]}")
    endpoint = load(text).named("ops")
    assert endpoint.wants("pilotage.trigger.opened", "flights")
    assert not endpoint.wants("pilotage.trigger.opened", "diamonds")
    assert not endpoint.wants("pilotage.alarm.raised", "flights")
    assert load(GOOD).named("ops").wants("pilotage.alarm.raised", "diamonds")
    assert endpoint.origin == "https://hooks.example.org"
    with pytest.raises(errors.NotFound, match="no webhook `dev`; there are ops"):
        load(GOOD).named("dev")


def test_several_secrets_and_one_in_a_file(load: Callable[..., endpoints.Endpoints], tmp_path: Path):
    other = signatures.new_secret()
    (tmp_path / "secret").write_text(other + "\n")
    endpoint = load(GOOD.replace("'env:HOOK'", f"['env:HOOK', 'file:{tmp_path}/secret']")).named("ops")
    assert endpoint.keys() == [signatures.parse_secret(SECRET), signatures.parse_secret(other)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("env:HOOK", SECRET), "a secret is not written in this file"),
        (GOOD.replace("env:HOOK", "changeme"), "a secret is not written in this file"),
        (GOOD.replace("env:HOOK", "env:NOBODY"), "is not at `env:NOBODY`"),
        (GOOD.replace("env:HOOK", "file:/no/such"), "is not at `file:/no/such`"),
        (GOOD.replace("https", "http"), "told over http"),
        (GOOD.replace("https", "ftp"), "is no https:// URL"),
        (GOOD.replace("hooks.", "u:p@hooks."), "has a user, a password"),
        (GOOD.replace("hooks.example.org", "hooks.example.org:x"), "is no URL"),
        (GOOD.replace("T0/", "T0/ "), "percent-encoded"),
        (GOOD.replace("}", ", events: [pilotage.trigger.begun]}"), "is none of pilotage.alarm.raised"),
        (GOOD.replace("}", ", event: [x]}"), "Extra inputs"),
        (GOOD.replace("ops", "On call"), "0.name"),
        (GOOD + GOOD, "the name of two webhooks"),
        ("{", "is not YAML"),
        ("name: ops", "cannot be read|valid tuple"),
    ],
)
def test_a_mistake_is_named_without_what_is_secret(
    load: Callable[..., endpoints.Endpoints], text: str, said: str
):
    with pytest.raises(errors.SettingsError, match=said) as caught:
        load(text)
    for secret in (SECRET, "changeme", "abc", "u:p"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "secret",
    [
        "changeme",
        "whsec_",
        "whsec_changeme!",
        "whsec_" + base64.b64encode(b"short").decode(),
        "whsec_" + base64.b64encode(b"x" * 32).decode(),
        "whsec_" + base64.b64encode(b"please-change-this-secret-now").decode(),
        "whsec_" + base64.b64encode(bytes(range(65))).decode(),
    ],
)
def test_a_secret_that_somebody_could_guess_is_none(
    load: Callable[..., endpoints.Endpoints], monkeypatch: pytest.MonkeyPatch, secret: str
):
    monkeypatch.setenv("HOOK", secret)
    with pytest.raises(errors.SettingsError, match="is none") as caught:
        load(GOOD)
    assert secret not in str(caught.value).replace("`whsec_`", "")


def test_plain_http_is_for_hosts_that_are_listed(load: Callable[..., endpoints.Endpoints]):
    text = GOOD.replace("https", "http")
    assert load(text, webhook_private_hosts=("hooks.example.org",)).all


def test_a_file_that_is_not_there_is_named(installation: Settings, tmp_path: Path):
    broken = installation.model_copy(update={"webhooks_file": tmp_path / "none.yaml"})
    with pytest.raises(errors.SettingsError, match=r"none\.yaml cannot be read"):
        endpoints.load(broken)
