"""`monitor` with a console elsewhere: compares windows here, tells there what it found.

Storage and registry are asked here, as everywhere; alarms, triggers and runs are
the console's. A pass may be killed anywhere: the next one asks which reports the
console has, and tells those that it lacks, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pilotage.console.commands import serving as here
from pilotage.console.commands.arguments import load_pilot, moment
from pilotage.console.remotes.clients import Remote, segment
from pilotage.console.sessions import Session
from pilotage.console.watches import Findings
from pilotage.core.artifacts import DriftReport, Trigger
from pilotage.core.pilots import Pilot
from pilotage.core.settings import Settings

_MOST_BYTES = 400_000
"""Of one request; the console takes a mebibyte."""
_MOST_REPORTS = 100

_Key = tuple[int, datetime, datetime]


class Watch:
    """The passes of one pilot's monitor."""

    def __init__(self, pilot: Pilot, settings: Settings, remote: Remote) -> None:
        self._pilot = pilot
        self._settings = settings
        self._remote = remote
        self._path = f"/pilots/{segment(pilot.name)}/observations"

    def look(self, now: datetime | None = None) -> Findings:
        """One pass; `now` is the time, when it is to be another than the clock's.

        Raises:
            Unavailable: a store or the console does not answer; the next pass catches up.
        """
        from pilotage.serving.monitor import watches as monitor

        fresh = monitor.watch(self._pilot.spec, self._settings, now=now)
        found = Findings(reports=fresh)
        found.triggers = self.tell(monitor.reports(self._pilot.spec, self._settings))
        return found

    def tell(self, reports: Sequence[DriftReport]) -> list[Trigger]:
        """Tell what the console does not know yet; returns the triggers that followed."""
        known = self._known()
        missing = [item for item in reports if _key(item) not in known]
        opened = []
        for batch in _batches(sorted(missing, key=lambda item: (item.start, item.version))):
            done = self._remote.post(self._path, {"reports": batch})
            opened += [Trigger.model_validate(item) for item in done["triggers"]]
        return opened

    def _known(self) -> set[_Key]:
        told = self._remote.get(self._path)["reports"]
        moments = datetime.fromisoformat
        return {(item["version"], moments(item["start"]), moments(item["created_at"])) for item in told}


def monitor(
    session: Session,
    pilot: str,
    follow: bool = False,
    every: str = "10s",
    now: str | None = None,
    reindex: bool = False,
) -> None:
    """Look for drift and decay here, and tell the console there."""
    from pilotage.console import signals, watches
    from pilotage.console.views import reports as views

    found = load_pilot(pilot)
    seconds, at = here.seconds_of(every), moment("--now", now)
    watch = Watch(found, session.settings, session.remote)

    def show(part: Findings) -> None:
        for line in views.lines(part, session.settings):
            session.output.say(line)

    if reindex:
        session.output.say("The console takes in whatever it lacks in any case; --reindex adds nothing.")
    if follow:
        with signals.stopping() as stop:
            everything = watches.follow(watch, seconds, stop.wait, show)
    else:
        everything = watch.look(at)
        show(everything)
    document = here.monitor_document(found.name, everything, session.settings)
    session.output.answer(document, lambda console: views.show(console, everything))


def _key(report: DriftReport) -> _Key:
    return report.version, report.start, report.created_at


def _batches(reports: Sequence[DriftReport]) -> Iterator[list[object]]:
    """Reports as documents, as many at once as a request may have."""
    batch: list[object] = []
    size = 0
    for report in reports:
        length = len(report.model_dump_json())
        if batch and (size + length > _MOST_BYTES or len(batch) >= _MOST_REPORTS):
            yield batch
            batch, size = [], 0
        batch.append(report.model_dump(mode="json"))
        size += length
    if batch:
        yield batch
