"""Studies: what takes minutes to find out about a pilot, and is neither a run nor a version.

    asked: pending ──→ running ──→ succeeded | failed | cancelled | died
                          ↑            └ asked for again by id ┘
                          └────────────┘

A study is carried out by one process (`work`), is recorded in the table
`studies` (`records`) and leaves what it found in the storage, so that every
console sees it. What it trained is kept by what it was made of: a study that
is begun again, or a later one, does not do it twice. One study of a kind goes on
for a pilot at a time. What a study finds out is not known here.
"""

from __future__ import annotations

from pilotage.pipelines.studies.launches import Launch, launch
from pilotage.pipelines.studies.records import Kind, Progress, Study, ask, cancel, find, latest, listed
from pilotage.pipelines.studies.work import RESULT, Work, carry_out, read_file

__all__ = [
    "RESULT",
    "Kind",
    "Launch",
    "Progress",
    "Study",
    "Work",
    "ask",
    "cancel",
    "carry_out",
    "find",
    "latest",
    "launch",
    "listed",
    "read_file",
]
