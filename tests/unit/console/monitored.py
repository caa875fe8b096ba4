"""Installations in which the monitor has looked at pilots: rows of the index, and the reports behind them."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.console.operations.desks import Desk
from pilotage.core.artifacts import DriftReport
from pilotage.core.specs import PilotSpec
from pilotage.core.storage import Storage
from pilotage.core.windows import reports_folder
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.retraining import observations


def know(desk: Desk, spec: PilotSpec) -> None:
    """Take a pilot in."""
    with desk.engine.begin() as connection:
        catalogues.put(connection, spec, desk.settings.home / spec.pilot)


def watch(desk: Desk, spec: PilotSpec, reports: Sequence[DriftReport], champion: int | None = None) -> None:
    """Keep reports of a pilot as the monitor does, and index them."""
    know(desk, spec)
    storage = Storage(desk.settings.storage)
    for report in reports:
        folder = reports_folder(report.pilot, report.version, report.start)
        storage.write(f"{folder}/{DriftReport.FILE}", report.model_dump_json().encode())
    observations.observe(desk.settings, spec, reports, champion)
