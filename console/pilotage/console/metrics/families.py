"""Metrics of one moment, made of plain mappings: label values → value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Values = Mapping[Any, float]
"""By tuples of the values of labels."""


def gauge(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
    """A value that goes up and down."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for label, value in values.items():
        family.add_metric(label, value)
    return family


def counter(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
    """A value that only grows; its samples are called `{name}_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for label, value in values.items():
        family.add_metric(label, value)
    return family


def single(name: str, text: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, text, value=value)


def seconds(moment: datetime) -> float:
    """Seconds since the epoch."""
    return moment.timestamp()
