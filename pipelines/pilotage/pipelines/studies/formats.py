"""What tables are given away as: scores and synthetic rows."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """Of a file with rows; its ending, too."""

    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """As HTTP has it."""
        return "text/csv; charset=utf-8" if self is Format.CSV else "application/vnd.apache.parquet"
