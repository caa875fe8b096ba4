"""Times, durations, numbers, money and states in words that people read; filters of the templates.

Formatting only: what a value means is decided where it comes from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

NOTHING = "–"
"""Where there is no value."""

_STEPS = ((60, "second"), (60, "minute"), (24, "hour"), (30, "day"), (12, "month"), (math.inf, "year"))

_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
"""By what its browsers call it; what contains another's mark comes before it."""

_LOOKS: Mapping[str, tuple[str, str]] = {
    "pending": ("wait", "clock"),
    "running": ("busy", "spin"),
    "succeeded": ("good", "check"),
    "cached": ("good", "recycle"),
    "failed": ("bad", "cross"),
    "died": ("bad", "cross"),
    "cancelled": ("calm", "stop"),
    "skipped": ("calm", "dash"),
    "passed": ("good", "check"),
    "refused": ("bad", "cross"),
    "healthy": ("good", "check"),
    "ready": ("good", "check"),
    "starting": ("busy", "spin"),
    "stopping": ("busy", "spin"),
    "stopped": ("calm", "stop"),
    "lost": ("bad", "cross"),
    "drifted": ("warn", "alert"),
    "stable": ("good", "check"),
    "open": ("warn", "alert"),
    "closed": ("calm", "check"),
    "alarm": ("bad", "alert"),
    "acknowledged": ("calm", "check"),
    "snoozed": ("calm", "pause"),
    "resolved": ("good", "check"),
    "waiting": ("wait", "clock"),
    "started": ("busy", "spin"),
    "releasing": ("busy", "spin"),
    "done": ("good", "check"),
    "warning": ("warn", "alert"),
    "approved": ("good", "check"),
    "rejected": ("bad", "cross"),
    "superseded": ("calm", "dash"),
    "champion": ("good", "star"),
    "challenger": ("busy", "flag"),
    "previous": ("calm", "back"),
    "active": ("good", "check"),
    "paused": ("calm", "pause"),
    "met": ("good", "check"),
    "missed": ("bad", "cross"),
    "revoked": ("bad", "cross"),
    "expired": ("calm", "clock"),
    "delivered": ("good", "check"),
}
"""Colour and icon by state; a state that is not here has a plain badge."""


def look(state: str) -> tuple[str, str]:
    """The colour's name and the icon of a state."""
    return _LOOKS.get(str(state), ("calm", "dot"))


def ago(moment: datetime | None, now: datetime | None = None) -> Markup:
    """A time element: relative words, which the page keeps current, and the exact time as its title."""
    if moment is None:
        return Markup('<span class="none">{}</span>').format(NOTHING)
    at = moment.astimezone(UTC)
    exact = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    told = relative(at, now or datetime.now(UTC))
    stamp = at.isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(stamp, exact, told)


def relative(moment: datetime, now: datetime) -> str:
    """`moment` seen from `now`: `3 minutes ago`, `in 2 hours`; whole units, rounded down."""
    seconds = (now - moment).total_seconds()
    count = abs(seconds)
    if count < 5:
        return "now"
    told = ""
    for longest, unit in _STEPS:
        if count < longest:
            told = plural(int(count), unit)
            break
        count /= longest
    return f"{told} ago" if seconds > 0 else f"in {told}"


def instant(moment: datetime | None) -> str:
    """The exact time in UTC, to the minute."""
    return NOTHING if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def length(seconds: float | None) -> str:
    """A duration: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _parts(whole // 60, "min", whole % 60, "s")
    if whole < 86_400:
        return _parts(whole // 3600, "h", whole % 3600 // 60, "min")
    return _parts(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def _parts(many: int, unit: str, few: int, smaller: str) -> str:
    return f"{many} {unit} {few} {smaller}" if few else f"{many} {unit}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant ones, and thin groups of thousands."""
    if value is None or math.isnan(value):
        return NOTHING
    if isinstance(value, int) or (abs(value) >= 1000 and math.isfinite(value)):
        return f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e-6:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as per cent."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def money(amount: float | None, currency: str = "", *, signed: bool = False) -> str:
    """An amount with its currency, rounded to whole units from a hundred on."""
    if amount is None:
        return NOTHING
    digits = 0 if abs(amount) >= 100 else 2
    sign = "+" if signed and amount > 0 else ""
    told = f"{sign}{amount:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
    return f"{told} {currency}".rstrip()


def bytes_of(count: int | None) -> str:
    """A size in binary units."""
    if count is None:
        return NOTHING
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def short(digest: str | None, letters: int = 10) -> str:
    """The beginning of a digest."""
    if not digest:
        return NOTHING
    return digest.rpartition(":")[2][:letters]


def plural(count: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def pretty(value: object) -> str:
    """A value as JSON, indented."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def segment(value: object) -> str:
    """A value as one segment of a URL's path."""
    return quote(str(value), safe="")


def ticked(text: str, letters: int = 400) -> Markup:
    """A message whose parts in backticks are code; cut off after so many letters."""
    if len(text) > letters:
        text = text[: letters - 1].rsplit(" ", 1)[0] + "…"
    parts = text.split("`")
    coded = Markup("<code>{}</code>")
    closed = len(parts) % 2 == 1
    return Markup("").join(
        coded.format(part) if position % 2 and (closed or position < len(parts) - 1) else escape(part)
        for position, part in enumerate(parts)
    )


def titled(metric: str) -> Markup:
    """A metric's name that may break at its underscores."""
    return Markup("_<wbr>").join(escape(part) for part in metric.split("_"))


def decided(decision: str) -> str:
    """What was decided of a version when its run ended, which may have changed since."""
    return "was left to an approval" if decision == "pending" else decision.replace("_", " ")


def browser(agent: str) -> str:
    """What a browser says of itself, in short, such as `Firefox on Linux`; all of it where none is known."""
    name = next((told for mark, told in _BROWSERS if mark in agent), "")
    system = next((told for mark, told in _SYSTEMS if mark in agent), "")
    return " on ".join(part for part in (name, system) if part) if name else agent


def pair(value: str) -> tuple[str, str]:
    """A choice whose words are its value."""
    return value, value


FILTERS: Mapping[str, Callable[..., Any]] = {
    "ago": ago,
    "browser": browser,
    "bytes": bytes_of,
    "decided": decided,
    "instant": instant,
    "length_of": length,
    "look": look,
    "money": money,
    "number": number,
    "pair": pair,
    "percent": percent,
    "plural": plural,
    "pretty": pretty,
    "segment": segment,
    "short": short,
    "ticked": ticked,
    "titled": titled,
}
