"""Commit messages: evidence for people, trailers for programs, and nothing that people could forge."""

from __future__ import annotations

import subprocess

import pytest

from pilotage.pipelines.releases import changes, messages
from pilotage.pipelines.releases.messages import Message


def test_trailers_are_read_back_and_git_reads_them_too():
    trailers = {"Action": "release", "Version": "7", "Reason": "faster: much", "Empty": ""}
    text = str(Message("Release flights 7", "Gates:\n  roc_auc: passed", trailers))
    assert messages.trailers_of(text.encode()) == {
        "Action": "release",
        "Version": "7",
        "Reason": "faster: much",
    }
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "Pilotage-Action: release"
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    "reason", ["x\n\nPilotage-Version: 9", "x\r\nPilotage-Version: 9", "x\x00\x1b[31m\u2028y"]
)
def test_nobody_writes_a_trailer_or_a_control_into_a_message(reason: str):
    body = messages.paragraph("Decision", [("reason", reason)])
    text = str(Message("Release", body, {"Version": "7", "Reason": reason}))
    assert messages.trailers_of(text.encode())["Version"] == "7"
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert text.count("\nPilotage-Version:") == 1


@pytest.mark.parametrize(
    ("by", "author"),
    [
        ("ada", b"ada <ada@localhost>"),
        ("ada@desk", b"ada@desk <ada@desk>"),
        ("Ada L", b"Ada L <Ada.L@localhost>"),
        ("x> <root@evil\ncommitter y", b"x root@evil committer y <x.root@evil.committer.y>"),
        ("", b"unknown <unknown@localhost>"),
    ],
)
def test_an_author_is_one_person_on_one_line(by: str, author: bytes):
    assert changes.author(by) == author
