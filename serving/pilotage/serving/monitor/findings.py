"""What is found out about an alarm: what happened to columns, what moved the scores, and where.

It is looked for where an alarm is raised and not elsewhere, because it asks the model
some dozens of times. Whatever cannot be found out is left out; the alarm stands without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pilotage.core.artifacts import Change, Contribution, Segment


@dataclass(frozen=True)
class Findings:
    """What is known of the cause of an alarm."""

    changes: tuple[Change, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    segments: tuple[Segment, ...] = ()


NONE = Findings()


def find(subject, sample, outcomes, settings):  # wired when causes are there
    return NONE
