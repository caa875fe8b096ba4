"""Numbers and dates in other notations stay text, and their owner is told which columns, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.components.tabular import ingested, write_csv

from pilotage.components.ingestion import notations
from pilotage.components.validation import misread
from pilotage.core import errors
from pilotage.core.artifacts import Notation, Severity


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(["3,14", "2", "-0,5"], Notation.DECIMAL_COMMA, id="comma"),
        pytest.param(["1.234,50", "12,00", "7"], Notation.DECIMAL_COMMA, id="comma-and-points"),
        pytest.param(["1 234,5", "1'234,5"], Notation.DECIMAL_COMMA, id="comma-and-gaps"),
        pytest.param(["1,234", "3,5"], Notation.DECIMAL_COMMA, id="one-tells-what-the-others-are"),
        pytest.param(["0,125", "0,250"], Notation.DECIMAL_COMMA, id="no-thousands-begin-with-0"),
        pytest.param(["1,234", "999", "12"], Notation.THOUSANDS, id="thousands"),
        pytest.param(["1,234,567.5", "3"], Notation.THOUSANDS, id="millions"),
        pytest.param(["1\u202f234", "12\xa0345"], Notation.THOUSANDS, id="thin-gaps"),
        pytest.param(["1.234.567", "2.000.000"], Notation.THOUSANDS, id="points"),
        pytest.param(["12 %", "3.5%", "-1,5 %"], Notation.PERCENT, id="percent"),
        pytest.param(["€ 3.50", "1,200 EUR", "$-7"], Notation.CURRENCY, id="money"),
        pytest.param(["(1,234.00)", "(7)", "12"], Notation.BRACKETS, id="brackets"),
        pytest.param(["31.12.2025", "1.2.2026 08:15"], Notation.DATE, id="german-dates"),
        pytest.param(["12/31/2025, 8:15 PM", "1/2/26"], Notation.DATE, id="american-dates"),
    ],
)
def test_notations_are_told_apart(values: list[str], expected: Notation) -> None:
    assert notations.of(pl.Series(values)) is expected


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["1.5", "2"], id="plain-numbers"),
        pytest.param(["red", "blue", "3,14"], id="mostly-words"),
        pytest.param(["3,14 mm", "2,5 mm"], id="units"),
        pytest.param(["a,b", "1,2,3"], id="lists"),
        pytest.param(["10.0.0.1", "1.2.3"], id="addresses-and-versions"),
        pytest.param(["12-34-56", "555-1234"], id="phone-numbers"),
        pytest.param(["12,345678901234567890123456789012345678901"], id="too-long"),
        pytest.param(["", " "], id="nothing"),
    ],
)
def test_other_texts_are_no_numbers(values: list[str]) -> None:
    assert notations.of(pl.Series(values)) is None


def sales(folder: Path) -> str:
    rows = range(60)
    write_csv(
        folder / "sales.csv",
        {
            "no": list(rows),
            "price": [f'"{place},5"' for place in rows],
            "amount": [f'"{1000 + place:,}"' for place in rows],
            "birth_date": [f"{place % 9 + 1}.7.1980" for place in rows],
            "day": [f"{place % 28 + 1:02}.03.2026" for place in rows],
            "sold": ["ab"[place % 2] for place in rows],
        },
    )
    return "sales.csv"


def test_a_snapshot_and_its_report_name_column_example_and_remedy(tmp_path: Path) -> None:
    snapshot = ingested(tmp_path, sales(tmp_path), target="sold")
    told = {notice.column: notice for notice in snapshot.notices}
    assert {name: notice.notation for name, notice in told.items()} == {
        "price": Notation.DECIMAL_COMMA,
        "amount": Notation.THOUSANDS,
        "birth_date": Notation.DATE,
        "day": Notation.DATE,
    }
    assert (told["price"].rows, told["price"].present, told["price"].example) == (60, 60, "0,5")
    assert told["birth_date"].example == "", "its name says that it is personal"
    found = {finding.column: finding for finding in misread.find(snapshot)}
    assert found["price"].severity is Severity.WARNING
    assert "60 of 60 values, such as `0,5`," in found["price"].message
    assert 'pandas.read_csv(…, decimal=",")' in found["price"].message


def test_columns_that_the_pilot_does_not_use_are_not_told(tmp_path: Path) -> None:
    source = sales(tmp_path)
    unused: dict[str, Any] = {"key": "price", "exclude": ["amount", "birth_date"]}
    assert [each.column for each in ingested(tmp_path, source, "sold", **unused).notices] == ["day"]
    named: dict[str, Any] = {"features": {"no": "number", "day": "category"}}
    assert [each.column for each in ingested(tmp_path, source, "sold", **named).notices] == ["day"]


@pytest.mark.parametrize(
    ("target", "metric", "more"),
    [
        pytest.param("sold", "accuracy", {"features": {"no": "number", "price": "number"}}, id="feature"),
        pytest.param("price", "r2", {}, id="regression"),
        pytest.param("price", "accuracy", {}, id="classification"),
    ],
)
def test_a_refusal_says_how_to_read_it(
    tmp_path: Path, target: str, metric: str, more: dict[str, Any]
) -> None:
    with pytest.raises(errors.DataError) as caught:
        ingested(tmp_path, sales(tmp_path), target, metric, **more)
    assert 'pandas.read_csv(…, decimal=",")' in str(caught.value.remedy)
