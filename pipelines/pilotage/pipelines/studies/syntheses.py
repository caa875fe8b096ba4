"""A study of synthetic rows: made, measured, and kept for consoles to give away where the gates pass.

How rows are made and judged is `pilotage.components.synthesize`'s. Where somebody names a file of
their own the rows are written there, and the installation keeps no copy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pilotage.components import synthesize
from pilotage.core import errors
from pilotage.core.artifacts import Synthesis
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import studies
from pilotage.pipelines.studies import Progress, Study

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class Format(StrEnum):
    """Of the file of rows."""

    CSV = "csv"
    PARQUET = "parquet"


class Options(BaseModel):
    """What a study of synthetic rows is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[int, Field(ge=1, le=synthesize.MOST_ROWS)] = 1000
    """How many."""
    format: Format = Format.CSV
    """Of the file that the study keeps."""


def run(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    options: Options,
    who: str,
    *,
    target: Path | None = None,
    study: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[str, Synthesis]:
    """Make synthetic rows of a pilot; returns the study's id and what was measured.

    Args:
        spec: the pilot.
        folder: its folder.
        settings: the installation.
        options: of the study; one that was asked for has its own.
        who: asks for it.
        target: a file of somebody's own; the study keeps the rows when left out.
        study: one that was asked for, or that ended before it was done.
        on_progress: told how far it is.

    Raises:
        RequestError: the file's name cannot be.
        DataError, SourceError: the data cannot be read or learned from.
        RunActive: a study of the kind goes on for the pilot.
    """
    with studies.carry_out(
        settings,
        spec.pilot,
        studies.Kind.SYNTHESIS,
        options.model_dump(mode="json"),
        who,
        study=study,
        on_progress=on_progress,
    ) as work:
        asked = Options.model_validate(work.study.options)
        if target is not None:
            found = synthesize.synthesize(spec, folder, settings, target, asked.rows, on_step=work.progress)
        else:
            with tempfile.TemporaryDirectory(prefix="pilotage-synthesis-") as scratch:
                file = Path(scratch) / file_name(asked)
                found = synthesize.synthesize(
                    spec, folder, settings, file, asked.rows, study=work.study.id, on_step=work.progress
                )
                if found.passed:
                    work.write(file.name, file.read_bytes())
        work.finish(found.model_dump(mode="json"), short(found))
        return work.study.id, found


def file_name(options: Options) -> str:
    """Of the rows in the study's folder."""
    return f"synthetic.{options.format}"


def short(found: Synthesis) -> dict[str, Any]:
    """What the table of studies tells of a result."""
    fidelity = found.synthetic.fidelity
    return {
        "rows": found.rows,
        "passed": found.passed,
        "fidelity": None if fidelity is None else fidelity.score,
    }


def read_rows(settings: Settings, study: Study) -> tuple[str, bytes]:
    """The file of rows that a study keeps: its name and what is in it.

    Raises:
        Conflict: it is no study of synthetic rows that succeeded.
        NotFound: a gate said no, or the rows went to a file of somebody's own.
    """
    if study.kind is not studies.Kind.SYNTHESIS or study.result is None:
        raise errors.Conflict(
            f"Study {study.id} is a {study.kind} that is {study.state}: it has no synthetic rows.",
            remedy="Ask for those of a synthesis that succeeded.",
        )
    if not study.result.get("passed"):
        raise errors.NotFound(
            f"Study {study.id} keeps no rows: a gate said that they give training rows away.",
            remedy="Its document has the gates and what was measured.",
        )
    name = file_name(Options.model_validate(study.options))
    try:
        return name, studies.read_file(settings, study, name)
    except errors.NotFound as error:
        raise errors.NotFound(
            f"Study {study.id} keeps no rows: they were written to a file of whoever asked for them.",
            remedy="Start a synthesis here for rows to download.",
        ) from error
