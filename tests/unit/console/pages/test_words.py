"""Words for times, durations, numbers, money and states."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from pilotage.console.pages import rendering, words
from pilotage.console.views import costs

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "now"), (4.9, "now"), (-3, "now"), (5, "5 seconds ago"), (59.9, "59 seconds ago"),
        (60, "1 minute ago"), (-61, "in 1 minute"), (3599, "59 minutes ago"), (3600, "1 hour ago"),
        (-7200, "in 2 hours"), (86_400, "1 day ago"), (86_400 * 29, "29 days ago"),
        (86_400 * 31, "1 month ago"), (86_400 * 400, "1 year ago"), (86_400 * 800, "2 years ago"),
    ],
)  # fmt: skip
def test_moments_are_told_from_now(seconds: float, told: str):
    assert words.relative(NOW - timedelta(seconds=seconds), NOW) == told


def test_a_time_holds_the_exact_moment_in_utc():
    moment = datetime(2026, 11, 26, 14, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    text = words.ago(moment, NOW + timedelta(minutes=1))
    assert 'title="2026-11-26 12:00:30 UTC"' in text
    assert 'datetime="2026-11-26T12:00:30+00:00"' in text
    assert ">30 seconds ago<" in text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "–"), (-1, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"),
     (60, "1 min"), (3600, "1 h"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_durations(seconds: float | None, told: str):
    assert words.length(seconds) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "–"), (math.nan, "–"), (math.inf, "inf"), (0, "0"), (0.0, "0"), (0.7234, "0.723"),
        (12.345, "12.3"), (0.00012345, "0.000123"), (1234567, "1 234 567"), (-1234.5, "-1 234"), (999, "999"),
        (1e-300, "1.00e-300"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, told: str):
    assert words.number(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == told


@pytest.mark.parametrize(
    ("amount", "told"),
    [(None, "–"), (0, "0.00 EUR"), (12.3, "+12.30 EUR"), (-1234.6, "−1 235 EUR"), (99.999, "+100.00 EUR")],
)
def test_money(amount: float | None, told: str):
    assert words.money(amount, "EUR", signed=True).replace("\N{NARROW NO-BREAK SPACE}", " ") == told


def test_sizes_of_files():
    assert [words.bytes_of(size) for size in (None, 0, 1023, 1024, 150 * 1024, 3 << 30, 5 << 40)] == [
        "–", "0 B", "1023 B", "1.0 KiB", "150 KiB", "3.0 GiB", "5120 GiB",
    ]  # fmt: skip


def test_a_metric_breaks_at_its_underscores_and_is_escaped():
    assert words.titled("a_<b>") == "a_<wbr>&lt;b&gt;"


def test_every_look_has_an_icon_and_an_unknown_state_a_plain_one():
    macros = rendering.environment().get_template("macros.html.j2").module
    icons = macros.icons  # type: ignore[attr-defined]
    assert {icon for _, icon in words._LOOKS.values()} <= set(icons)
    assert {place.icon for place in rendering.PLACES} <= set(icons)
    assert words.look("what is this") == ("calm", "dot")


def test_a_badge_tells_its_state_in_words():
    macros = rendering.environment().get_template("macros.html.j2").module
    badge = macros.badge("failed")  # type: ignore[attr-defined]
    assert "failed" in badge
    assert 'aria-hidden="true"' in badge


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iOS"),
        ("curl/8.5", "curl/8.5"),
    ],
)
def test_browsers_are_told_in_short(agent: str, told: str):
    assert words.browser(agent) == told


@pytest.mark.parametrize(
    ("amount", "told"),
    [(0, "0.00"), (12.345, "12.35"), (0.5, "0.50"), (0.000061, "0.000061"), (3e-9, "below 0.000001")],
)
def test_small_money_is_no_power_of_ten(amount: float, told: str):
    assert costs._money(amount) == told
