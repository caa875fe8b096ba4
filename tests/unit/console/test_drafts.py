"""What `init` drafts from a table."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.unit.console.calls import Call, rows

from pilotage.core import pilots

ORDERS = rows(
    80, lambda n: f"o{n},2025-01-{n % 28 + 1:02d},{n * 1.5},{'abc'[n % 3]},{n % 2}",
    header="order_id,sold_on,price,shop,target",
)  # fmt: skip


def draft(call: Call, text: str, *more: str) -> pilots.Pilot:
    """The pilot that `init` writes for a table."""
    Path("table.csv").write_text(text, encoding="utf-8")
    called = call("init", "fresh", "--from", "table.csv", *more, "--json")
    assert called.code == 0, called.err
    return pilots.load(Path("fresh"))


def test_key_time_target_and_features_are_found(call: Call) -> None:
    data = draft(call, ORDERS).spec.data
    assert (data.target, data.key, data.time) == ("target", "order_id", "sold_on")
    assert data.source == "../table.csv"
    assert data.features == {"price": "number", "shop": "category"}


def test_what_was_drafted_passes_the_check(call: Call) -> None:
    draft(call, ORDERS)
    called = call("check", "fresh", "--json")
    assert called.code == 0, called.err
    assert called.document["expectations"] == "expectations.json"


def test_the_file_can_be_read_by_people_and_says_how_to_go_on(call: Call) -> None:
    draft(call, ORDERS)
    text = Path("fresh/pilot.yaml").read_text(encoding="utf-8")
    assert "`pilotage run fresh`" in text
    assert "\n  on:\n" in text, "the word is not quoted"
    assert list(yaml.safe_load(text))[:3] == ["version", "pilot", "goal"]


@pytest.mark.parametrize(
    ("values", "metric"),
    [
        (lambda n: n % 2, "roc_auc"),
        (lambda n: "ab"[n % 2], "roc_auc"),
        (lambda n: n % 5, "balanced_accuracy"),
        (lambda n: n, "r2"),
        (lambda n: n / 7, "r2"),
    ],
    ids=["two numbers", "two texts", "five classes", "many numbers", "fractions"],
)
def test_the_metric_follows_from_the_target(call: Call, values: object, metric: str) -> None:
    table = rows(80, lambda n: f"{n % 9},{values(n)}", header="a,result")  # type: ignore[operator]
    assert draft(call, table, "--target", "result").spec.goal.metric == metric


def test_gates_are_drafted_against_baseline_and_champion(call: Call) -> None:
    gates = draft(call, ORDERS).spec.gates
    assert [str(gate.against) for gate in gates] == ["baseline", "champion"]


def test_nothing_is_overwritten(call: Call) -> None:
    draft(call, ORDERS)
    before = Path("fresh/pilot.yaml").read_bytes()
    called = call("init", "fresh", "--from", "table.csv")
    assert called.code == 2
    assert "is there already and stays as it is" in called.err
    assert Path("fresh/pilot.yaml").read_bytes() == before


def test_a_target_that_cannot_be_guessed_is_asked_for(call: Call) -> None:
    Path("table.csv").write_text(rows(40, lambda n: f"{n},{n}", header="a,b"))
    called = call("init", "fresh", "--from", "table.csv")
    assert called.code == 2
    assert "Which column of `table.csv` is to be predicted? It has a, b." in called.err
    assert "--target" in called.err
    assert not Path("fresh").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Fresh Start", "--from", "table.csv"], "Try `fresh-start`."),
        (["fresh", "--from", "nothing.csv"], "No file matches"),
        (["fresh", "--from", "table.csv", "--target", "targt"], "Did you mean `--target target`?"),
    ],
    ids=["name", "table", "target"],
)
def test_mistakes_are_named(call: Call, arguments: list[str], said: str) -> None:
    Path("table.csv").write_text(ORDERS)
    called = call("init", *arguments)
    assert called.code == 2
    assert said in called.err
    assert sorted(path.name for path in Path().iterdir()) == ["table.csv"]


@pytest.mark.parametrize(("count", "estimator"), [(40, "random_forest"), (200, "hist_gradient_boosting")])
def test_few_rows_get_an_estimator_that_can_learn_from_them(call: Call, count: int, estimator: str) -> None:
    drafted = draft(call, rows(count, lambda n: f"{n % 7},{'uvw'[n % 3]},{n % 2}"), "--target", "y")
    assert drafted.spec.train.estimator == estimator


def test_columns_that_are_probably_misread_are_told_and_commented(call: Call) -> None:
    rows_ = "".join(f"{n};{n},25;{'ab'[n % 2]};{n % 2}\n" for n in range(80))
    Path("table.csv").write_text("n;preis\u2028version: 7;shop;target\n" + rows_, encoding="utf-8")
    drafted = call("init", "fresh", "--from", "table.csv", "--json")
    assert "such as `0,25`, look like numbers with a decimal comma" in drafted.document["warnings"][0]
    text = Path("fresh/pilot.yaml").read_text(encoding="utf-8")
    assert "# `preis version: 7`: 80 of 80 values" in text, "no name ends a comment"
    assert pilots.load(Path("fresh")).spec.version == 1
    Path("fresh/pilot.yaml").write_text(
        text.replace("shop: category", "shop: category\n    'preis\\u2028version: 7': category")
        .replace("'preis\\u2028version: 7'", '"preis\\u2028version: 7"'),
        encoding="utf-8",
    )  # fmt: skip
    checked = call("check", "fresh", "--json")
    assert 'pandas.read_csv(…, decimal=",")' in checked.document["warnings"][0]
