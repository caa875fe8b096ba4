"""Evidently as its documentation has it: a report of `DataDriftPreset` over two data sets."""

from __future__ import annotations

import math

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from measures import Job


def strength(metric):
    """How far a column's score is beyond its threshold: 1 where drift begins, more where there is more."""
    method, threshold = metric["config"]["method"], metric["config"]["threshold"]
    value = float(metric["value"])
    if "p_value" in method:
        return math.log(max(value, 1e-300)) / math.log(threshold)
    return value / threshold


def scores(report):
    """Column → strength."""
    found = {}
    for metric in report.dict()["metrics"]:
        config = metric["config"]
        if "column" in config:
            found[config["column"]] = strength(metric)
    return found


def main(job):
    definition = DataDefinition(numerical_columns=job["numbers"], categorical_columns=job["categories"])

    def read(file):
        return pd.read_parquet(file, columns=job["numbers"] + job["categories"])

    def compare(frame, reference):
        data = Dataset.from_pandas(frame, data_definition=definition)
        return scores(Report([DataDriftPreset()]).run(data, reference))

    reference = Dataset.from_pandas(read(job["reference"]), data_definition=definition)
    job.note("read")
    if job["task"] == "speed":
        window = read(job["window"])
        job.note("read")
        found = [compare(window, reference)]
        job.note("drift")
        return found
    windows = pd.read_parquet(job["windows"])
    return [
        compare(frame.drop(columns="window").reset_index(drop=True), reference)
        for _, frame in windows.groupby("window", sort=True)
    ]


job = Job()
job.answer(main(job))
