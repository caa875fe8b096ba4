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
    reference = pd.read_parquet(job["reference"], columns=columns)
    window = pd.read_parquet(job["window" if job["task"] == "speed" else "windows"])
    job.note("read")
    chunks = {} if job["task"] == "speed" else {"chunk_size": job["rows"]}
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=columns,
        treat_as_numerical=job["numbers"],
        treat_as_categorical=job["categories"],
        **chunks,
    )
    calculator.fit(reference)
    result = calculator.calculate(window[columns]).filter(period="analysis").to_df()
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
    found = {}
    for window, frame in analysis.groupby("window", sort=True):
        estimator = nannyml.CBPE(
            problem_type="classification_binary",
            y_pred_proba="score",
            y_pred="prediction",
            y_true="truth",
            metrics=["roc_auc"],
            chunk_number=1,
        )
        estimator.fit(reference)
        told = estimator.estimate(frame.drop(columns="window")).filter(period="analysis").to_df()
        found[str(window)] = float(told[("roc_auc", "value")].iloc[0])
    return found


job = Job()
job.answer(estimates(job) if job["task"] == "estimates" else drift(job))
