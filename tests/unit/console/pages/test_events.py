"""Server-sent events arrive as they were sent, and a position survives the way there and back."""

from __future__ import annotations

import pytest

from pilotage.console.pages import events


def received(content: bytes) -> dict[str, str]:
    """What a browser makes of one event (HTML standard, 9.2.6)."""
    data, fields = [], {}
    for line in content.decode().split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name:
            fields[name] = value
    return {**fields, "data": "\n".join(data)}


@pytest.mark.parametrize(
    "text", ["", "one", "one\ntwo", "one\n\ntwo\n", "\n", "  indented", "data: x", ": comment", "<b>ä€😀</b>"]
)
def test_text_arrives_as_it_was(text: str):
    assert received(events.encode("part", text, "a=1")) == {"event": "part", "id": "a=1", "data": text}


def test_other_line_ends_cannot_forge_an_event():
    content = events.encode("part", "a\r\nb\rid: forged\r\revent: end")
    assert content.count(b"\n\n") == 1
    assert received(content) == {"event": "part", "data": "a\nb\nid: forged\n\nevent: end"}


def test_a_position_comes_back_and_stays_on_one_line():
    marks = {"log-train": "12", "state": "ab&=\n\r\0"}
    told = events.position_of(marks)
    assert not set(told) & set("\n\r\0")
    assert events.marks_of(told) == marks


@pytest.mark.parametrize("position", ["", "x", "%ff=1", "&".join(f"a{n}=1" for n in range(100)), "=" * 5000])
def test_what_is_no_position_names_nothing_that_is_ours(position: str):
    assert "state" not in events.marks_of(position)
