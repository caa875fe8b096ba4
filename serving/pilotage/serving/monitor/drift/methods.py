"""How drift was judged, in words for the reader of a report.

The words follow the calibration that was used and its limits; nothing is computed here.
"""

from __future__ import annotations

from pilotage.core.specs import Drift
from pilotage.serving.monitor.drift.calibrations import PROMISED_BLOCKS, Calibration, Mode
from pilotage.serving.monitor.drift.comparisons import KS_OF_PSI, LEAST_ROWS, UNSEEN_OF_PSI


def describe(
    calibration: Calibration,
    drift: Drift,
    columns: int,
    rows: int,
    *,
    rate: float | None = None,
    least_rows: int = LEAST_ROWS,
) -> str:
    """The method for a window of `rows` rows whose `columns` columns were compared.

    Args:
        calibration: that was used.
        drift: the pilot's limits.
        columns: how many were compared.
        rows: of the window.
        rate: what of the false alarm rate columns had; all of it when left out.
        least_rows: from which a window is judged.
    """
    by_blocks = calibration.mode is Mode.BLOCKS
    rate = drift.false_alarm_rate if rate is None else rate
    sentences = [
        *(_from_blocks if by_blocks else _redrawn)(calibration, rate, columns),
        f"Only differences that matter count: a population stability index of {drift.min_effect:g} or more"
        f" (corrected for sample sizes), a Kolmogorov-Smirnov distance or a change of the missing rate of"
        f" {KS_OF_PSI * drift.min_effect:g}, or {UNSEEN_OF_PSI * drift.min_effect:.2%} of values that"
        f" training never saw.",
    ]
    if rate < drift.false_alarm_rate:
        sentences.append(
            f"The other {drift.false_alarm_rate - rate:.2%} are spent on rows as a whole: a classifier is"
            f" fitted on half of the sampled rows and tells the others apart (Lopez-Paz and Oquab, 2017)."
        )
    if rows < least_rows:
        sentences.append(f"A window like this of under {least_rows:,} rows is shown but not judged.")
    return " ".join(sentences)


def _redrawn(calibration: Calibration, rate: float, columns: int) -> list[str]:
    return [
        f"Each of {columns} columns is tested for its distribution (Kolmogorov-Smirnov, chi-squared), its"
        f" missing rate and values never seen.",
        f"The limit for the smallest p-value is the {rate:.2%} quantile of {calibration.draws:,}"
        f" pseudo-windows of about {calibration.rows:,} rows drawn from the reference, so that {rate:.2%} of"
        f" windows without drift would pass it.",
        "Rows are taken as independent, and so are columns, which can only make the limit stricter.",
    ]


def _from_blocks(calibration: Calibration, rate: float, columns: int) -> list[str]:
    apart = calibration.blocks // calibration.window_blocks
    sentences = [
        f"Each of {columns} columns is measured by the distance of its distribution, its missing rate and its"
        f" share of values never seen.",
        f"What is usual is read from {calibration.draws:,} pseudo-windows, each {calibration.window_blocks}"
        f" of the reference's {calibration.blocks} time blocks compared with the other blocks; {apart} do not"
        f" overlap.",
        f"A Gumbel tail, cross-fitted on halves of the time, gives the limit that {rate:.2%} of windows"
        f" without drift would pass, over all columns together.",
    ]
    kinds = "a kind of period that the reference does not hold, such as another season or a rare storm"
    if apart < PROMISED_BLOCKS:
        sentences.append(
            f"With fewer than {PROMISED_BLOCKS} the rate of {rate:.2%} cannot be promised: {kinds},"
            f" counts as drift."
        )
    else:
        sentences.append(f"The rate holds for periods like the reference's: {kinds}, counts as drift.")
    if calibration.borrowed:
        sentences.append(
            "What the model says has too few blocks of its own and is held to what is usual for the features."
        )
    return sentences
