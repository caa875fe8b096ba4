"""`drift`: two tables beside each other, without a pilot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pilotage.console.sessions import HERE_ONLY, Session, command


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "drift", HERE_ONLY)(drift)


def drift(
    session: Session,
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="A Parquet, CSV or JSON-lines file of usual rows.")
    ],
    current: Annotated[Path, typer.Argument(metavar="CURRENT", help="The file to compare with it.")],
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="COLUMN", help="Do not compare this; may be given several times."),
    ] = None,
    false_alarm_rate: Annotated[
        float,
        typer.Option(min=1e-6, max=0.5, help="Share of like tables in which any column may seem drifted."),
    ] = 0.01,
    min_effect: Annotated[
        float, typer.Option(min=0, help="Smallest population stability index that matters.")
    ] = 0.1,
    page: Annotated[Path | None, typer.Option(help="Write a page that opens from disk there, too.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 when a column has drifted.")] = False,
) -> None:
    """Tell which columns of a table differ from those of another.

    Both are read batch by batch, whatever their size. A column has drifted when its difference is
    improbable, over all columns together, and large enough to matter.
    """
    from pilotage.console.views import drifts
    from pilotage.core import errors, storage
    from pilotage.core.specs import Drift
    from pilotage.serving.monitor import tables
    from pilotage.serving.monitor.reports import pages

    limits = Drift(false_alarm_rate=false_alarm_rate, min_effect=min_effect)
    found = tables.compare(
        tables.open_table(reference), tables.open_table(current), limits, exclude=exclude or ()
    )
    if page is not None:
        storage.write_file(page, pages.render_tables(found).encode())
    session.output.answer(found.model_dump(mode="json"), lambda console: drifts.show(console, found))
    if strict and found.drifted:
        names = ", ".join(f"`{part.feature}`" for part in found.drifted[:5])
        raise errors.ValidationFailed(
            f"{len(found.drifted)} columns of `{current}` have drifted: {names}.",
            remedy="Find out what happened to them before the table is used.",
        )
