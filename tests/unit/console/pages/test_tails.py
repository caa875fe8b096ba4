"""The end of a growing file: whole lines, nothing twice, bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilotage.console.pages.tails import MOST_BYTES, Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "step.log"


def follow(tail: Tail, begin: int) -> tuple[str, int]:
    """Everything from `begin` on, part by part."""
    told = ""
    while True:
        tail.look()
        text, begin = tail.since(begin)
        if not text:
            return told, begin
        told += text


def test_a_file_that_is_not_there_yet_is_empty_and_found_later(log: Path):
    tail = Tail(log)
    assert tail.look() is False
    assert tail.since(0) == ("", 0)
    log.write_text("first\n")
    assert tail.look() is True
    assert tail.since(0) == ("first\n", 6)


def test_a_line_is_told_when_it_ends_or_nothing_more_will_come(log: Path):
    log.write_bytes("begin\nhalf ä".encode()[:-1])
    tail = Tail(log)
    tail.look()
    assert tail.since(0) == ("begin\n", 6)
    assert tail.since(0, whole=False)[0] == "begin\nhalf \N{REPLACEMENT CHARACTER}"
    log.write_text("begin\nhalf ä\n")
    tail.look()
    assert tail.since(6) == ("half ä\n", 14)


def test_those_far_behind_get_all_of_it_in_parts(log: Path):
    text = "".join(f"line {number}\n" for number in range(40_000))
    log.write_text(text)
    tail = Tail(log)
    tail.look()
    assert len(tail.since(0)[0]) <= MOST_BYTES
    assert follow(tail, 0) == (text, len(text))
    assert len(tail.kept) <= MOST_BYTES
    assert follow(tail, 70_000)[0] == text[70_000:]


def test_what_is_appended_in_steps_is_the_same_as_what_was_written(log: Path):
    tail, told, place = Tail(log), "", 0
    with log.open("w") as stream:
        for number in range(300):
            stream.write(f"{number} " + "x" * (number * 7 % 1000) + ("\n" if number % 3 else ""))
            stream.flush()
            part, place = follow(tail, place)
            told += part
        stream.write("\n")
    assert told + follow(tail, place)[0] == log.read_text()


def test_a_line_longer_than_a_part_is_not_waited_for(log: Path):
    log.write_text("x" * (3 * MOST_BYTES))
    assert follow(Tail(log), 0)[1] >= 2 * MOST_BYTES


def test_a_file_that_was_begun_anew_is_told_from_its_beginning(log: Path):
    log.write_text("old and long\n")
    tail = Tail(log)
    tail.look()
    log.write_text("new\n")
    assert tail.look() is True
    assert tail.since(13) == ("new\n", 4)
