"""NannyML as its documentation has it: `UnivariateDriftCalculator` fitted on the reference, then asked.

Windows are chunks of one frame; thresholds come from chunks of the reference of the same size. Of one large
window the chunks are the default ten. `estimates` is CBPE, fitted on labelled rows that training held out.
"""

from __future__ import annotations

import nannyml
import numpy as np
import pandas as pd
from measures import Job


def drift(job):
    columns = job["numbers"] + job["categories"]
    weekly = bool(job.get("weekly"))
    kept = columns + ["at"] * weekly
    reference = pd.read_parquet(job["reference"], columns=kept)
    window = pd.read_parquet(job["window" if job["task"] == "speed" else "windows"])
    job.note("read")
    if weekly:
        chunks = {"chunk_period": "W", "timestamp_column_name": "at"}
    else:
        chunks = {} if job["task"] == "speed" else {"chunk_size": job["rows"]}
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=columns,
        treat_as_numerical=job["numbers"],
        treat_as_categorical=job["categories"],
        **chunks,
    )
    calculator.fit(reference)
    result = calculator.calculate(window[kept]).filter(period="analysis").to_df()
    job.note("drift")
    strengths = {}
    for column in columns:
        ((method, _),) = {(one, 0) for name, one, _ in result.columns if name == column}
        values = result[(column, method, "value")].to_numpy(float)
        limits = result[(column, method, "upper_threshold")].to_numpy(float)
        strengths[column] = values / np.maximum(limits, 1e-12)
        alerts = result[(column, method, "alert")].to_numpy(bool)
        assert ((strengths[column] > 1) == alerts).all(), column
    return [
        {name: float(values[chunk]) for name, values in strengths.items()} for chunk in range(len(result))
    ]


def estimates(job):
    reference, analysis = pd.read_parquet(job["reference"]), pd.read_parquet(job["windows"])
    job.note("read")
    estimator = nannyml.CBPE(
        problem_type="classification_binary",
        y_pred_proba="score",
        y_pred="prediction",
        y_true="truth",
        metrics=["roc_auc"],
        chunk_number=1,
    )
    estimator.fit(reference)
    found = []
    for _, frame in analysis.groupby("window", sort=True):
        told = estimator.estimate(frame.drop(columns="window")).filter(period="analysis").to_df()
        found.append(float(told[("roc_auc", "value")].iloc[0]))
    job.note("estimate")
    return found


job = Job()
job.answer(estimates(job) if job["task"] == "estimates" else drift(job))
