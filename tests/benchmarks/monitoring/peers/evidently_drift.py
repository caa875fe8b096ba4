"""Evidently as its documentation has it: a report of `DataDriftPreset` over two data sets.

A report of a large reference takes many seconds, most of them for pictures and for sorting the reference
again. For hundreds of windows the two distances that the preset takes for large references are computed
here, with the reference counted once; that the preset says the same is checked on the first window of each
kind.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from measures import Job
from scipy.spatial import distance

LEAST_ROWS = 1000
"""Of a reference, from which the preset measures distances."""
THRESHOLD = 0.1
MOST_VALUES = 5
"""Different ones of a number that is compared as a category is."""


def strength(method, value, threshold):
    """How far a score is beyond its threshold: 1 where drift begins, more where there is more."""
    if "p_value" in method:
        return math.log(max(value, 1e-300)) / math.log(threshold)
    return value / threshold


def reported(frame, reference, definition):
    """Column → strength, of the preset's report."""
    data, usual = (Dataset.from_pandas(one, data_definition=definition) for one in (frame, reference))
    found = {}
    for metric in Report([DataDriftPreset()]).run(data, usual).dict()["metrics"]:
        config = metric["config"]
        if "column" in config:
            found[config["column"]] = strength(config["method"], float(metric["value"]), config["threshold"])
    return found


class Counted:
    """One column of the reference."""

    def __init__(self, values, is_number):
        present = values.dropna()
        assert len(present) > LEAST_ROWS
        self.values, self.counts = np.unique(present.to_numpy(), return_counts=True)
        self.is_number = is_number
        self.norm = max(float(np.std(present)), 0.001) if is_number else 1.0

    def strength(self, values):
        """Of a window's column."""
        found, counts = np.unique(values.dropna().to_numpy(), return_counts=True)
        if not len(found):
            return 0.0
        every = np.union1d(self.values, found)
        usual, window = np.zeros(len(every)), np.zeros(len(every))
        usual[np.searchsorted(every, self.values)] = self.counts / self.counts.sum()
        window[np.searchsorted(every, found)] = counts / counts.sum()
        if self.is_number and len(every) > MOST_VALUES:
            gaps = np.abs(np.cumsum(usual - window)[:-1])
            return float((gaps * np.diff(every)).sum()) / self.norm / THRESHOLD
        return float(distance.jensenshannon(usual, window)) / THRESHOLD


def main(job):
    numbers, categories = job["numbers"], job["categories"]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    reference = pd.read_parquet(job["reference"], columns=numbers + categories)
    job.note("read")
    if job["task"] == "speed":
        window = pd.read_parquet(job["window"], columns=numbers + categories)
        job.note("read")
        found = [reported(window, reference, definition)]
        job.note("drift")
        return found
    counted = {name: Counted(reference[name], name in numbers) for name in numbers + categories}
    found = []
    for number, frame in pd.read_parquet(job["windows"]).groupby("window", sort=True):
        found.append({name: column.strength(frame[name]) for name, column in counted.items()})
        if number == 0:
            frame = frame[numbers + categories].reset_index(drop=True)
            report = reported(frame, reference, definition)
            assert report.keys() == found[0].keys()
            assert all(abs(report[name] - one) < 1e-6 for name, one in found[0].items())
    job.note("drift")
    return found


job = Job()
job.answer(main(job))
