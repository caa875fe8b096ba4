"""Evidently as its documentation has it: a report of `DataDriftPreset` over two data sets.

A report of a large reference takes many seconds, most of them for pictures. For hundreds of windows the
tests that the preset chooses are called directly; that they say the same is checked on the first window.
"""

from __future__ import annotations

import math

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType
from evidently.presets import DataDriftPreset
from measures import Job


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


class Tests:
    """The preset's tests against a reference."""

    def __init__(self, reference, kinds):
        self.present = {name: reference[name].dropna() for name in kinds}
        self.kinds = kinds

    def strengths(self, frame):
        """Column → strength."""
        found = {}
        for name, kind in self.kinds.items():
            usual, values = self.present[name], frame[name].dropna()
            if values.empty:
                found[name] = 0.0
                continue
            test = get_stattest(usual, values, kind, None)
            told = test(usual, values, kind, None)
            method = "p_value" if told.actual_threshold == 0.05 else test.name
            found[name] = strength(method, float(told.drift_score), told.actual_threshold)
        return found


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
    kinds = dict.fromkeys(numbers, ColumnType.Numerical) | dict.fromkeys(categories, ColumnType.Categorical)
    tests = Tests(reference, kinds)
    found = []
    for number, frame in pd.read_parquet(job["windows"]).groupby("window", sort=True):
        frame = frame[numbers + categories].reset_index(drop=True)
        found.append(tests.strengths(frame))
        if number == 0:
            report = reported(frame, reference, definition)
            assert report.keys() == found[0].keys()
            assert all(abs(report[name] - one) < 1e-6 for name, one in found[0].items())
    job.note("drift")
    return found


job = Job()
job.answer(main(job))
