"""Writes migrations from the tables as they are defined: `python -m pilotage.pipelines.migrations [WHAT]`.

Without WHAT the first one, 0001, is written anew: the way to take a change of
the tables in until the first release, as nobody has a database yet that has to
be kept. With it, the next one is written, which brings what the others make to
what is defined; read it before it is committed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from pilotage.pipelines.migrations import HISTORY, upgrades
from pilotage.pipelines.tables import Instant, metadata
from pilotage.pipelines.tables.decisions import APPEND_ONLY

_TEMPLATE = '''"""{title}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {previous}


def upgrade() -> None:
    """Apply it."""
{body}
'''
FIRST = "0001_initial.py"


def first() -> str:
    """The source of the first migration: everything that is defined."""
    body = _body(None) + "".join(
        f'\n    if op.get_bind().dialect.name == "{dialect}":\n'
        + "\n".join(f"        op.execute(\n            {statement!r}\n        )" for statement in statements)
        for dialect, statements in APPEND_ONLY.items()
    )
    return _TEMPLATE.format(title="All tables.", revision="0001", previous=None, body=body)


def following(what: str, revision: str, previous: str) -> str:
    """The source of a migration from what the others make to what is defined."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/made.db")
        with engine.begin() as connection:
            upgrades.upgrade(connection)
        body = _body(engine)
        engine.dispose()
    return _TEMPLATE.format(title=f"{what}.", revision=revision, previous=f'"{previous}"', body=body)


def main(arguments: Sequence[str]) -> int:
    """Write one file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pilotage.pipelines.migrations", description=__doc__)
    parser.add_argument("what", nargs="?", help="what changes, in a few words")
    what = parser.parse_args(arguments).what
    if what is None:
        path, source = HISTORY.folder / FIRST, first()
    else:
        number = f"{int(HISTORY.head) + 1:04d}"
        name = "_".join("".join(letter if letter.isalnum() else " " for letter in what.lower()).split())
        path = HISTORY.folder / f"{number}_{name}.py"
        source = following(what[:1].upper() + what[1:], number, HISTORY.head)
    path.write_text(source, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(path)], check=True)  # noqa: S603
    sys.stdout.write(f"{path}\n")
    return 0


def _body(engine: Any) -> str:
    """The operations, in Python, that bring an SQLite database to what is defined; an empty one for None."""
    made = engine or create_engine("sqlite://")
    with made.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"target_metadata": metadata, "render_item": _render, "compare_type": True}
        )
        (operations,) = produce_migrations(context, metadata).upgrade_ops_list
        rendered = render_python_code(
            operations, render_as_batch=engine is not None, migration_context=context, render_item=_render
        )
    lines = [line for line in rendered.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(lines) or "    pass"


def _render(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Types of our own as what they are in the database, so that a migration depends on nothing here."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Instant) else False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
