"""The picture of the loop in a cluster is drawn from its text, and the page's table speaks of its numbers."""

from __future__ import annotations

import re

import pytest
from tests import sequences


def test_the_committed_picture_is_that_of_the_text() -> None:
    page = sequences.PAGE.read_text(encoding="utf-8")
    assert sequences.PICTURE.read_text(encoding="utf-8") == sequences.draw(page), (
        "`python -m tests.sequences` draws it anew"
    )


def test_the_table_tells_of_each_arrow_of_ours() -> None:
    page = sequences.PAGE.read_text(encoding="utf-8")
    drawing = sequences.draw(page)
    told = {
        int(number) for row in re.findall(r"^\| ([0-9, ]+) ", page, re.MULTILINE) for number in row.split(",")
    }
    assert told >= set(range(1, 18))
    assert max(told) <= drawing.count('class="digit"')


def test_a_line_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="no line of a diagram"):
        sequences.draw("```mermaid\nsequenceDiagram\nparticipant A as B\nA=>A: x\n```")
