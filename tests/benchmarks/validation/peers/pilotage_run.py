"""Pilotage, from a Parquet file to the result."""

from __future__ import annotations

from measures import tell

from pilotage.components.validation import files, suites, validations


def validate(table, suite):
    from pathlib import Path

    content = suites.load(suite, Path())
    found = validations.run_on(files.open_table(table, content), content)
    by_key = {_key(item["expectation_config"]): item["success"] for item in found.result["results"]}
    return [by_key[_key(item)] for item in found.suite["expectations"]]


def _key(item):
    return (item["type"], *(str(item["kwargs"].get(name)) for name in ("column", "column_A")))


tell(validate)
