"""whylogs as its documentation has it: a profile of each frame, then drift scores between the two."""

from __future__ import annotations

import pandas as pd
import whylogs as why
from measures import Job
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores


def main(job):
    columns = job["numbers"] + job["categories"]
    views = []
    for file in (job["reference"], job["window"]):
        frame = pd.read_parquet(file, columns=columns)
        job.note("read")
        views.append(why.log(frame).profile().view())
        job.note("profile")
    scores = calculate_drift_scores(target_view=views[1], reference_view=views[0], with_thresholds=True)
    job.note("drift")
    drifted = {
        name: float(score is not None and score["drift_category"] == "DRIFT") * 2
        for name, score in scores.items()
    }
    return [drifted]


job = Job()
job.answer(main(job))
