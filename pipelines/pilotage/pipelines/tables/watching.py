"""What is known of closed windows; an index over the monitor's reports, which can be made anew from them."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, String, Table

from pilotage.pipelines.tables.bases import Instant, metadata

windows = Table(
    "windows",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("end", Instant, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("latency_p50_ms", Float),
    Column("latency_p99_ms", Float),
    Column("cpu_seconds", Float),  # of the servers; null where they did not tell
    Column("peak_memory_bytes", BigInteger),  # of one server process
    Column("drifted", Integer, nullable=False, default=0),  # features
    Column("features", JSON, nullable=False),  # effect, verdict and importance by feature
    Column("score", JSON),  # the same of the model's scores
    Column("metric", String(64)),
    Column("estimated", Float),
    Column("estimated_low", Float),
    Column("estimated_high", Float),
    Column("realized", Float),
    Column("realized_low", Float),
    Column("realized_high", Float),
    Column("labelled", Integer, nullable=False, default=0),  # rows
    Column("currency", String(3)),
    Column("value", Float),  # of the labelled rows' predictions
    Column("baseline", Float),  # of what the baseline would have said of the same rows
    Column("gain", Float),  # value less baseline, estimated for all rows
    Column("gain_error", Float),  # its standard error
    Column("drift_well", Boolean, nullable=False),  # enough rows, and no column has drifted
    Column("performance_well", Boolean, nullable=False),  # enough labels, and the metric has not dropped
    Column("report", String, nullable=False),  # folder in the storage
    Column("updated_at", Instant, nullable=False),  # when the report was made
    Index("windows_by_time", "pilot", "start"),
)

days = Table(
    "days",
    metadata,
    Column("pilot", String(63), primary_key=True),
    Column("day", Instant, primary_key=True),  # its beginning in UTC; windows count where they begin
    Column("windows", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("drifted", Integer, nullable=False),  # windows
    Column("metric", String(64)),
    Column("realized", Float),  # mean over windows, weighted by labelled rows
    Column("realized_error", Float),
    Column("realized_rows", Integer, nullable=False),
    Column("estimated", Float),  # mean over windows, weighted by rows
    Column("estimated_error", Float),
    Column("estimated_rows", Integer, nullable=False),
    Column("currency", String(3)),
    Column("labelled", Integer, nullable=False),  # rows that value and baseline are counted on
    Column("value", Float, nullable=False),
    Column("baseline", Float, nullable=False),
    Column("gain", Float, nullable=False),
    Column("gain_variance", Float, nullable=False),
    Column("gain_rows", Integer, nullable=False),  # served in the windows that the gain is estimated for
)
