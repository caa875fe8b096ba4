"""alibi-detect as its documentation has it: `TabularDrift`, Kolmogorov-Smirnov and chi-squared, Bonferroni.

It takes one matrix of numbers without gaps: categories become codes, the unknown and the missing one each,
and missing numbers the reference's median, as its manual leaves to the user.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from alibi_detect.cd import TabularDrift
from measures import Job

P_VALUE = 0.05


class Encoder:
    """Codes and medians of a reference."""

    def __init__(self, reference, numbers, categories):
        self.numbers, self.categories = numbers, categories
        self.medians = reference[numbers].median()
        self.known = {name: pd.Index(reference[name].dropna().unique()) for name in categories}

    def matrix(self, frame):
        """Shape `(rows, columns)`."""
        parts = [frame[self.numbers].fillna(self.medians).to_numpy(np.float64)]
        for name in self.categories:
            codes = self.known[name].get_indexer(frame[name])
            unknown = len(self.known[name])
            codes = np.where(codes < 0, np.where(frame[name].isna(), unknown, unknown + 1), codes)
            parts.append(codes[:, None].astype(np.float64))
        return np.concatenate(parts, axis=1)


def main(job):
    columns = job["numbers"] + job["categories"]
    reference = pd.read_parquet(job["reference"], columns=columns)
    job.note("read")
    encoder = Encoder(reference, job["numbers"], job["categories"])
    first = len(job["numbers"])
    codes = {first + place: None for place in range(len(job["categories"]))}  # those of the data
    detector = TabularDrift(encoder.matrix(reference), p_val=P_VALUE, categories_per_feature=codes)
    job.note("drift")

    def compare(frame):
        told = detector.predict(encoder.matrix(frame), drift_type="batch", return_p_val=True)["data"]
        beyond = math.log(float(told["threshold"]))
        p_values = np.maximum(np.nan_to_num(np.asarray(told["p_val"], dtype=np.float64), nan=1.0), 1e-300)
        found = {name: math.log(float(p)) / beyond for name, p in zip(columns, p_values, strict=True)}
        assert bool(told["is_drift"]) == any(one > 1 for one in found.values())
        return found

    if job["task"] == "speed":
        window = pd.read_parquet(job["window"], columns=columns)
        job.note("read")
        found = [compare(window)]
        job.note("drift")
        return found
    windows = pd.read_parquet(job["windows"])
    return [compare(frame) for _, frame in windows.groupby("window", sort=True)]


job = Job()
job.answer(main(job))
