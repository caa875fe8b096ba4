"""The monitors of all pilots in one process: each has its turn, and one that fails holds up none."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pilotage.console.watches import Watch
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0


class Monitors:
    """A watch a pilot, made anew when its pilot.yaml changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine = tables.connect(settings)
        self._watches: dict[str, tuple[catalogues.Entry, Watch]] = {}

    def look(self, stopped: Callable[[float], bool]) -> None:
        """One pass over every pilot; ends early when `stopped(0)`."""
        try:
            with tables.reading(self._engine) as connection:
                entries = catalogues.entries(connection)
        except SQLAlchemyError as error:
            logger.warning("which pilots there are cannot be seen now: %s", error)
            return
        for entry in entries:
            if stopped(0):
                return
            self._look(entry)

    def stop(self) -> None:
        """End the retrainings that were started here; their triggers stay open for the next monitors."""
        watches = [watch for _, watch in self._watches.values()]
        for watch in watches:
            watch.terminate()
        for watch in watches:
            watch.stop()
        self._engine.dispose()

    def _look(self, entry: catalogues.Entry) -> None:
        try:
            found = self._watch(entry).look()
        except Exception as error:  # one pilot's trouble, with its code or its files, is not the others'
            logger.warning("the monitor of %s looks again: %s", entry.name, error)
            return
        for alarm in (alarm for report in found.reports for alarm in report.alarms):
            logger.info("%s: alarm: %s", entry.name, alarm.message)
        for trigger in found.started:
            logger.info("%s: retraining for trigger %s", entry.name, trigger.id)
        for retraining in found.retrainings:
            logger.info("%s: retraining %s: %s", entry.name, retraining.run, retraining.state)

    def _watch(self, entry: catalogues.Entry) -> Watch:
        known = self._watches.get(entry.name)
        if known is not None and (known[0] == entry or known[1].retraining):
            return known[1]
        watch = Watch(entry.spec, entry.folder, self._settings)
        self._watches[entry.name] = entry, watch
        return watch


def follow(settings: Settings, stopped: Callable[[float], bool]) -> None:
    """Look after all pilots again and again until `stopped(seconds)`, which waits, says so."""
    monitors = Monitors(settings)
    try:
        while True:
            monitors.look(stopped)
            if stopped(EVERY_SECONDS):
                return
    finally:
        monitors.stop()
