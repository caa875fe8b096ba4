"""Evidence that several judges speak of."""

from __future__ import annotations

from collections.abc import Iterable

from pilotage.core.artifacts import Verdict
from pilotage.pipelines.readiness import places
from pilotage.pipelines.readiness.scores import Evidence, Finding, wanting
from pilotage.pipelines.readiness.subjects import Subject

_SHOWN = 4


def unversioned(about: Subject) -> Finding:
    """Nothing can be judged: the pilot has no champion."""
    return wanting("The pilot has no champion yet.", f"pilotage run {about.pilot}")


def lost(about: Subject, what: str) -> Finding:
    """What speaks for the version is gone or was never there."""
    return wanting(f"Version {about.version} has no {what}.", f"pilotage run {about.pilot} --no-cache")


def names(found: Iterable[str]) -> str:
    """Some names, and how many more there are."""
    known = list(found)
    shown = ", ".join(f"`{name}`" for name in known[:_SHOWN])
    return shown + (f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")


def version(about: Subject, text: str, kind: str = "version") -> Evidence:
    """Evidence that the version itself carries."""
    made = about.registered.created_at if about.registered is not None else None
    return Evidence(kind=kind, text=text, link=places.models(about.pilot), at=made)


def scorecard(about: Subject, text: str) -> Evidence:
    """Evidence in the version's scorecard."""
    made = about.scorecard.created_at if about.scorecard is not None else None
    return Evidence(kind="scorecard", text=text, link=places.card(about.pilot, about.version or 0), at=made)


def window(about: Subject, text: str) -> Evidence:
    """Evidence in the newest window, and whose that is."""
    row = about.window
    if row is None:
        raise ValueError("there is no window to speak of")
    whose = f"window of {row.start:%Y-%m-%d %H:%M} UTC, {row.rows:,} rows"
    if row.version != about.version:
        whose += f" of version {row.version}, which served before version {about.version}"
    link = places.window(about.pilot, row)
    return Evidence(kind="window", text=f"{text} ({whose})", link=link, at=row.updated_at)


def unwatched(about: Subject) -> Finding:
    """No window has been judged lately."""
    days = about.patience.total_seconds() / 86400
    return wanting(
        f"The monitor has judged no window of version {about.version} in the last {days:.3g} days.",
        f"pilotage up {about.entry.folder}",
    )


def gates(about: Subject, measures: Iterable[str]) -> list[Verdict]:
    """Verdicts of the version's gates on these measures."""
    wanted = set(measures)
    card = about.scorecard
    return [] if card is None else [item for item in card.gates if _measure(item.gate) in wanted]


def _measure(label: str) -> str:
    """The measure that a gate's label begins with, or which end of whose interval."""
    parts = label.split()
    return parts[3] if parts[1:3] == ["end", "of"] else parts[0]


def told(verdict: Verdict) -> str:
    """A gate's verdict in words."""
    return f"gate {verdict.gate} {'passed' if verdict.passed else 'said no'}: {verdict.reason}"
