"""What is found out about an alarm: what happened to columns, what moved the scores, and where.

It is looked for where an alarm is raised and not elsewhere, because it asks the model
some dozens of times. Whatever cannot be found out is left out; the alarm stands without it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pyarrow as pa

from pilotage.core.artifacts import Change, Contribution, Segment
from pilotage.core.settings import Settings
from pilotage.serving.monitor.causes import causes
from pilotage.serving.monitor.subjects import Subject

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """What is known of the cause of an alarm."""

    changes: tuple[Change, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    """To the shift of the mean score."""
    loss_contributions: tuple[Contribution, ...] = ()
    """To the rise of the mean loss, where enough labels have come."""
    segments: tuple[Segment, ...] = ()


NONE = Findings()


def find(subject: Subject, sample: pa.Table | None, settings: Settings) -> Findings:
    """The cause of an alarm about a version.

    Args:
        subject: the version.
        sample: rows of the window, with what came true where labels have come.
        settings: say which models may be loaded.
    """
    reference = subject.reference
    if reference is None or sample is None:
        return NONE
    found, _ = causes.segments(subject.model, reference, sample)
    return Findings(
        changes=causes.changes(reference, sample, subject.model.features),
        contributions=_contributions(subject, reference, sample, settings),
        loss_contributions=causes.attribute_loss(subject.model, reference, sample, seed=subject.seed),
        segments=found,
    )


def _contributions(
    subject: Subject, reference: pa.Table, sample: pa.Table, settings: Settings
) -> tuple[Contribution, ...]:
    opened = causes.predictor(subject.folder, settings)
    if opened.predict is None:
        logger.warning("which features moved the scores is not known: %s", opened.reason)
        return ()
    try:
        return causes.attribute(opened.predict, reference, sample, subject.model.features, seed=subject.seed)
    except (
        Exception
    ):  # of a pilot's own estimator, asked about rows that mix the window's and the reference's
        logger.exception("which features moved the scores is not known: the model failed on mixed rows")
        return ()
