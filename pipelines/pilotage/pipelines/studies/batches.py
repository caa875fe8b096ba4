"""Scoring a table as a study: a process of its own, followed, stopped, and begun again where it was.

What is scored is a table that somebody sent, or the files of the pilot's own `data.source`; no path that a
caller names. Finished parts are kept beside the installation, so that an attempt that died costs one part.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pilotage.core import errors
from pilotage.core.artifacts import Scores
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec, Resources
from pilotage.pipelines import studies
from pilotage.pipelines.studies import Progress, uploads

FILE = "scores.parquet"
"""Of the study's folder: a row for each of the table, in its order."""
OWN = "data.source"
"""What the document calls the pilot's own rows."""


class Options(BaseModel):
    """What is scored, with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Id of a table that was sent; the files of the pilot's own source when left out."""
    name: Annotated[str, Field(max_length=200)] = ""
    """What whoever sent it calls it."""
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """The champion when left out."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that share the rows, on Ray; Parquet only."""


def run(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    who: str,
    *,
    study: str,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[str, Scores]:
    """Carry out a study that was asked for; returns its id and what became of it.

    Raises:
        NotFound: there is no such version, no champion, or the table is gone.
        Conflict: the pilot's own source is no file.
        SourceError, DataError: the table cannot be read, or a value is not what the model takes.
        Stopped: somebody told it to stop.
    """
    from pilotage.components import score as step

    kind = studies.Kind.SCORE
    with studies.carry_out(settings, spec.pilot, kind, {}, who, study=study, on_progress=on_progress) as work:
        options = Options.model_validate(work.study.options)
        place = place_of(settings, work.study.id)
        place.mkdir(parents=True, exist_ok=True)
        if options.table is None:
            source = own_source(spec)
        else:
            source = str(uploads.fetch(work.storage, spec.pilot, options.table, place))
        work.progress(0, 0, "rows scored")
        made = step.score(
            spec.pilot,
            settings,
            source,
            place / FILE,
            folder=folder,
            version=options.version,
            resources=Resources(workers=options.workers),
            on_progress=lambda done, total: work.progress(done, total or 0, "rows scored"),
        )
        told = options.name or options.table or OWN
        made = made.model_copy(update={"source": told, "file": FILE})
        work.put(FILE, place / FILE)
        work.finish(made.model_dump(mode="json"), short(made))
    shutil.rmtree(place, ignore_errors=True)
    if options.table is not None:
        uploads.drop(work.storage, spec.pilot, options.table)
    return study, made


def place_of(settings: Settings, study: str) -> Path:
    """Where this machine keeps the table and the finished parts of a study, until it has succeeded."""
    return settings.home.absolute() / "scores" / study


def short(made: Scores) -> dict[str, Any]:
    """What the table of studies tells of a result."""
    return {"version": made.version, "rows": made.rows, "source": made.source, "file": made.file}


def own_source(spec: PilotSpec) -> str:
    """The files of the pilot's own source.

    Raises:
        Conflict: it is a query or a function.
    """
    if not isinstance(spec.data.source, str):
        raise errors.Conflict(
            f"The source of `{spec.pilot}` is a query or a function, not files.",
            remedy="Send the table that is to be scored.",
        )
    return spec.data.source
