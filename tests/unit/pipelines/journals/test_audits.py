"""The audit is a chain: nobody changes, removes, moves or replaces a record unseen, whoever owns the file."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.journals import audits
from pilotage.pipelines.journals.audits import Flaw, Head
from pilotage.pipelines.tables.decisions import REFUSED

pytestmark = pytest.mark.databases

UNGUARDED = {
    "sqlite": [f"DROP TRIGGER audit_is_not_{what}" for what in ("updated", "deleted", "replaced")],
    "postgresql": ["DROP TRIGGER audit_is_not_changed ON audit"],
}


@pytest.fixture
def engine(installation: Settings) -> Engine:
    """An audit of ten records."""
    engine = tables.connect(installation)
    with engine.begin() as connection:
        for number in range(1, 11):
            audits.write(connection, "test", "p", "ann", f"because {number}", version=number, share=0.1)
    return engine


def tamper(engine: Engine, *statements: str) -> None:
    """Change the audit as its owner can."""
    with engine.begin() as connection:
        for statement in (*UNGUARDED[engine.dialect.name], *statements):
            connection.execute(text(statement))


def flaw(engine: Engine, *noted: Head) -> Any:
    problem = audits.verify(engine, noted).problem
    return None if problem is None else (problem.id, problem.flaw)


def test_a_chain_that_nobody_touched_is_whole(engine: Engine):
    found = audits.verify(engine)
    assert (found.records, found.head.id, found.complete, found.problem) == (10, 10, True, None)
    last = audits.read(engine, limit=1)[0]
    assert str(found.head) == f"10:{last.digest}"


def test_an_audit_without_records_is_whole(installation: Settings):
    assert audits.verify(tables.connect(installation)) == audits.Verification(audits.START, 0, True, None)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        pytest.param(["UPDATE audit SET why = 'x' WHERE id = 4"], (4, Flaw.CHANGED), id="reason"),
        pytest.param(["UPDATE audit SET who = 'x' WHERE id = 1"], (1, Flaw.CHANGED), id="the-first"),
        pytest.param(["UPDATE audit SET version = NULL WHERE id = 10"], (10, Flaw.CHANGED), id="the-last"),
        pytest.param(["UPDATE audit SET pilot = NULL WHERE id = 5"], (5, Flaw.CHANGED), id="pilot"),
        pytest.param(["UPDATE audit SET details = '{}' WHERE id = 4"], (4, Flaw.CHANGED), id="details"),
        pytest.param(["UPDATE audit SET at = '2020-01-01' WHERE id = 2"], (2, Flaw.CHANGED), id="time"),
        pytest.param(["UPDATE audit SET digest = previous WHERE id = 3"], (3, Flaw.CHANGED), id="digest"),
        pytest.param(["DELETE FROM audit WHERE id = 4"], (5, Flaw.MISSING), id="one-gone"),
        pytest.param(["DELETE FROM audit WHERE id < 4"], (4, Flaw.MISSING), id="the-first-ones-gone"),
        pytest.param(["UPDATE audit SET id = -1 WHERE id = 1"], (-1, Flaw.MISPLACED), id="before-the-first"),
        pytest.param(
            [f"UPDATE audit SET id = {new} WHERE id = {old}" for old, new in ((3, 99), (4, 3), (99, 4))],
            (3, Flaw.CHANGED),
            id="two-exchanged",
        ),
    ],
)  # fmt: skip
def test_what_was_tampered_with_is_found_and_named(engine: Engine, statements, expected):
    tamper(engine, *statements)
    assert flaw(engine) == expected


def test_a_record_that_was_made_anew_does_not_fit_the_next(engine: Engine):
    with engine.connect() as connection:
        query = select(tables.audit).where(tables.audit.c.id == 6)
        row = {**connection.execute(query).one()._mapping, "who": "eve"}
    tamper(engine, f"UPDATE audit SET who = 'eve', digest = '{audits.digest_of(row)}' WHERE id = 6")
    assert flaw(engine) == (7, Flaw.MISPLACED)


def test_a_head_that_was_noted_shows_what_was_cut_off_or_rewritten(engine: Engine):
    head = audits.verify(engine).head
    assert flaw(engine, head, Head(4, audits.read(engine, limit=7)[-1].digest)) is None
    tamper(engine, "DELETE FROM audit WHERE id > 7")
    assert flaw(engine) is None, "which the chain alone cannot know"
    assert flaw(engine, head) == (10, Flaw.CUT_OFF)
    with engine.begin() as connection:
        for _ in range(3):
            audits.write(connection, "test", "p", "eve", "what never was")
    assert flaw(engine) is None
    assert flaw(engine, head) == (10, Flaw.CUT_OFF)


def test_what_no_record_can_hold_is_a_flaw_and_not_a_crash(engine: Engine):
    if engine.dialect.name != "sqlite":
        pytest.skip("columns of PostgreSQL hold nothing but their type")
    for value in ("at = 'yesterday'", "details = '{'", "at = 5", "version = 'x'", "who = x'ff'"):
        with engine.connect() as connection:
            row = connection.execute(text("SELECT at, details, version, who FROM audit WHERE id = 8")).one()
        tamper(engine, f"UPDATE audit SET {value} WHERE id = 8")
        found = audits.verify(engine)
        assert found.problem is not None
        assert (found.head.id, found.problem.id) == (7, 8)
        with engine.begin() as connection:
            restored = (
                "UPDATE audit SET at = :at, details = :details, version = :version, who = :who WHERE id = 8"
            )
            connection.execute(text(restored), dict(row._mapping))
            for guard in tables.decisions.APPEND_ONLY["sqlite"]:
                connection.execute(text(guard))
        assert flaw(engine) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET why = 'x' WHERE id = 4",
        "DELETE FROM audit WHERE id = 10",
        "DELETE FROM audit",
        "sqlite:INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE id = 4",
        "postgresql:TRUNCATE audit",
    ],
)
def test_the_database_refuses_to_change_what_is_written(engine: Engine, statement: str):
    dialect, _, rest = statement.rpartition(":")
    if dialect not in ("", engine.dialect.name):
        pytest.skip(f"a statement of {dialect}")
    with pytest.raises(DBAPIError, match=REFUSED), engine.begin() as connection:
        connection.execute(text(rest))
    assert flaw(engine) is None


def test_it_is_looked_at_piece_by_piece(engine: Engine):
    first = audits.verify(engine, most=4)
    assert (first.head.id, first.records, first.complete) == (4, 4, False)
    second = audits.verify(engine, after=first.head, most=6)
    assert (second.head.id, second.records, second.complete) == (10, 6, True)
    tamper(engine, "DELETE FROM audit WHERE id = 5")
    assert audits.verify(engine, after=first.head).problem is not None


def test_long_audits_are_read_in_batches(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audits, "_BATCH", 3)
    assert audits.verify(engine).records == 10
    tamper(engine, "UPDATE audit SET why = 'x' WHERE id = 7")
    assert flaw(engine) == (7, Flaw.CHANGED)


def test_whatever_people_write_is_kept_and_verified(engine: Engine):
    odd = "a\0b \udce9 \N{SNOWMAN} ' \" </script> =1+1"
    with engine.begin() as connection:
        audits.write(connection, "test", None, odd, odd, key={odd: [odd, 1e300, 2**70, None]})
    line = audits.read(engine, limit=1)[0]
    assert line.why == "a\N{REPLACEMENT CHARACTER}b ? \N{SNOWMAN} ' \" </script> =1+1"
    assert line.details["key"][line.why] == [line.why, 1e300, 2**70, None]
    assert flaw(engine) is None


@pytest.mark.parametrize("head", ["", "7", "7:", "x:" + "0" * 64, "7:" + "g" * 64, "7:" + "0" * 63])
def test_what_is_no_head_is_said_to_be_none(head: str):
    with pytest.raises(errors.SettingsError, match="is no head of an audit"):
        Head.parse(head)


def _write(home: str, number: int) -> None:
    engine = tables.connect(settings.load(home=home))
    for index in range(15):
        with engine.begin() as connection:
            audits.write(connection, "a", "p", f"writer {number}", str(index))
        if index % 5 == 0:
            with engine.connect() as connection:
                audits.write(connection, "a", "p", f"writer {number}", "taken back")
                connection.rollback()


def test_processes_that_write_at_once_make_one_chain(engine: Engine, installation: Settings):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(str(installation.home), number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = audits.verify(engine)
    assert (found.records, found.problem) == (55, None)
