"""The second step: a snapshot is held against a suite and against what trained the champion.

Which suite is in force: the pilot's own, else the one drafted from the
champion's snapshot, else one drafted from this snapshot. Stop or retrain: a
failed critical expectation or a schema skew stops the run, after the report is
written, and so does a feature that is a copy of the target; a failed warning, a
value skew and whatever else is found are reported and the run goes on.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pilotage.components import pages
from pilotage.components.validation import leakages, misread, repeats, skews, suites, undeclared, validations
from pilotage.components.validation.suites import Suite
from pilotage.core import errors, storage
from pilotage.core.artifacts import Report, Severity, Skew, Snapshot
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec

SUITE = "suite.json"
VALIDATION = "validation.json"
PAGE = "report.html"
_log = logging.getLogger(__name__)
_SHOWN = 3


def validate(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    snapshot: Snapshot,
    champion: Snapshot | None,
    out: Path,
) -> Report:
    """Write `report.json`, `suite.json`, `validation.json` and `report.html` to `out`.

    Args:
        spec: the pilot.
        folder: the pilot's folder, which `expectations` is relative to.
        settings: the installation.
        snapshot: what ingest found.
        champion: the snapshot that the champion was trained on, if there is a champion.
        out: folder for the files.

    Raises:
        DataError: the schema is not the champion's any more; the files are written.
        ValidationFailed: a critical expectation failed or a feature is the target; the files are written.
        SpecError: the pilot's suite is wrong.
        NotFound: the pilot's suite or the snapshot does not exist.
    """
    champion = champion if champion and champion.task is snapshot.task else None
    readable = _readable(champion, settings)
    schema: tuple[Skew, ...] = ()
    values: tuple[Skew, ...] = ()
    findings = leakages.find(spec, snapshot, settings) + repeats.find(spec, snapshot, settings)
    findings += undeclared.find(snapshot)
    findings += misread.find(snapshot)
    if champion is not None and champion.digest != snapshot.digest:
        schema = skews.schema_skew(spec, champion, snapshot)
        values = skews.value_skew(spec, readable, snapshot, settings) if readable else ()
        findings += skews.target_shift(spec, readable, snapshot, settings) if readable else ()
    suite = _suite(spec, folder, settings, snapshot, readable)
    validation = validations.run(settings, snapshot, suite)
    severities = {check.severity for check in validation.checks if not check.success}
    severities |= {finding.severity for finding in findings}
    report = Report(
        pilot=spec.pilot,
        snapshot=snapshot.digest,
        suite=suites.digest(suite),
        drafted=spec.expectations is None,
        success=not schema and Severity.CRITICAL not in severities,
        checks=suites.with_tolerances(validation.checks, suite),
        schema_skew=schema,
        value_skew=values,
        findings=findings,
        created_at=datetime.now(UTC),
    )
    storage.write_file(out / SUITE, _json(validation.suite))
    storage.write_file(out / VALIDATION, _json(validation.result))
    storage.write_file(out / PAGE, pages.render(report, snapshot, champion).encode())
    report.write(out)
    _conclude(report, out)
    return report


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _readable(champion: Snapshot | None, settings: Settings) -> Snapshot | None:
    """The champion's snapshot, unless its rows are gone."""
    if champion is None or skews.readable(champion, settings):
        return champion
    _log.warning("the champion's snapshot %s is gone; no values to compare with", champion.digest[:12])
    return None


def _suite(
    spec: PilotSpec, folder: Path, settings: Settings, snapshot: Snapshot, champion: Snapshot | None
) -> Suite:
    if spec.expectations is not None:
        suite = suites.load(spec.expectations, folder)
        suites.require_stored(suite, spec)
        return suite
    return suites.limited(suites.drafted(settings, champion or snapshot), snapshot)


def _conclude(report: Report, out: Path) -> None:
    """Log what warns, and raise what stops."""
    warned = [check for check in report.checks if not check.success and check.severity is Severity.WARNING]
    for check in warned:
        _log.warning("%s of %s: %s", check.expectation, check.column or "the table", check.observed)
    for skew in report.value_skew:
        _log.warning("%s: %s", skew.column, skew.message)
    for finding in report.findings:
        _log.warning("%s: %s: %s", finding.kind, finding.column or "the rows", finding.message)
    if report.success:
        return
    stopped = _stops(report)
    more = f"; and {len(stopped) - _SHOWN} more" if len(stopped) > _SHOWN else ""
    shown = "; ".join(text.rstrip(".") for text in stopped[:_SHOWN])
    details = {"report": str(out / Report.FILE), "failed": len(stopped)}
    if report.schema_skew:
        raise errors.DataError(
            f"The data of `{report.pilot}` is not what its champion was trained on: {shown}{more}.",
            remedy=f"Restore it in the source; all is in `{out / PAGE}`. If the change is meant, say so:"
            " list the features that remain under `data.features`.",
            **details,
        )
    raise errors.ValidationFailed(
        f"The data of `{report.pilot}` does not pass: {shown}{more}.",
        remedy=f"Mend it in the source; all is in `{out / PAGE}`.",
        **details,
    )


def _stops(report: Report) -> list[str]:
    """What stops the run, in words."""
    found = [f"`{skew.column}`: {skew.message}" for skew in report.schema_skew]
    found += [
        f"`{item.column}` {item.message}" for item in report.findings if item.severity is Severity.CRITICAL
    ]
    return found + [
        f"{check.expectation} of {f'`{check.column}`' if check.column else 'the table'}: {check.observed}"
        for check in report.checks
        if not check.success and check.severity is Severity.CRITICAL
    ]
