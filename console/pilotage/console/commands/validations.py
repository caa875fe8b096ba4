"""`validate`: a table against a suite of expectations, without a pilot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.console.sessions import Session, command

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.components.validation.validations import Validation


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "validate")(validate)


def validate(
    session: Session,
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="Parquet, CSV or JSON lines: a path or a glob in quotes.")
    ],
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="Expectations in Great Expectations' JSON.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write Great Expectations' result as JSON."),
    ] = None,
) -> int:
    """Hold a table against a suite of expectations.

    Ends with 3 when a critical expectation failed. A table larger than memory is read in pieces.
    """
    from pilotage.components.validation import files, suites, validations
    from pilotage.core import errors
    from pilotage.core.errors import ExitCode

    if not suite.is_file():
        raise errors.NotFound(f"`{suite}` is no file.", remedy="Name a suite in Great Expectations' JSON.")
    content = suites.load(str(suite.absolute()), Path())
    found = validations.run_on(files.open_table(table, content), content)
    if output is not None:
        _write(output, found.result)
    failed = [check for check in found.checks if not check.success]
    stopped = any(check.severity.value == "critical" for check in failed)
    document: dict[str, Any] = {
        "table": table,
        "suite": content["name"],
        "success": not stopped,
        "statistics": found.result["statistics"],
        "checks": [check.model_dump(mode="json") for check in found.checks],
    }
    session.output.answer(document, lambda console: _show(console, found, stopped))
    return int(ExitCode.REFUSED if stopped else ExitCode.DONE)


def _write(output: Path, result: dict[str, Any]) -> None:
    import json

    from pilotage.core import errors, storage

    try:
        storage.write_file(output, (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise errors.SettingsError(
            f"`{output}` cannot be written: {error.strerror}.", remedy="Name another file with `-o`."
        ) from error


def _show(console: Console, found: Validation, stopped: bool) -> None:
    from rich.markup import escape

    for check in found.checks:
        if not check.success:
            place = f" of {escape(check.column)}" if check.column else ""
            console.print(
                f"[bold]{check.severity.value}[/]: {check.expectation}{place}: {escape(check.observed)}"
                f" (expected {escape(check.expected)})"
            )
    counts = found.result["statistics"]
    word = "does not pass" if stopped else "passes"
    console.print(
        f"The table [bold]{word}[/]: {counts['successful_expectations']} of"
        f" {counts['evaluated_expectations']} expectations are met."
    )
