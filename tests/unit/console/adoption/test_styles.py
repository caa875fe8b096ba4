"""Styles of training that are easily misread: told from text alone, with nothing trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilotage.console.adoption import analyses, notebooks, writing
from pilotage.core import errors

LOOP = """
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
!pip install -q pandas
df = pd.read_csv("https://example.org/churn.csv")
X, y = df.drop(["y", "id"], axis=1), df.y
forest = RandomForestClassifier(n_estimators=200, random_state=0)
models = {"lr": LogisticRegression(max_iter=500), "rf": forest}
for name, model in models.items():
    scores = cross_val_score(model, X, y, cv=5, scoring="roc_auc")
    print(name, scores.mean())
"""
POPPED = """
%matplotlib inline
import pandas as pd
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.svm import SVC
df = pd.read_csv("d.csv")
train, test = train_test_split(df, test_size=0.2, random_state=0)
y_train = train.pop("y")
y_test = test.pop("y")
grid = GridSearchCV(SVC(), {"C": [0.1, 1, 10]}, cv=3, scoring="accuracy")
%time grid.fit(train, y_train)
print(grid.score(test, y_test))
"""
POLARS = """
import lightgbm as lgb
import polars as pl
from sklearn.metrics import average_precision_score
df = pl.scan_csv("d.csv", try_parse_dates=True).filter(pl.col("tenure") > 1).sort("joined").collect()
cut = int(df.height * 0.8)
train, test = df.head(cut), df.tail(df.height - cut)
model = lgb.LGBMClassifier(num_leaves=15)
model.fit(train.select(["tenure", "plan"]).to_pandas(), train["churned"].to_numpy())
rows = test.select(["tenure", "plan"]).to_pandas()
print(average_precision_score(test["churned"], model.predict_proba(rows)[:, 1]))
"""
OLS = """
import pandas as pd
import statsmodels.api as sm
df = pd.read_csv("d.csv")
print(sm.OLS(df["y"], sm.add_constant(df[["a"]])).fit().summary())
"""


def adopt(text: str) -> writing.Draft:
    source = notebooks.of_text(Path("/nowhere/style.py"), text, looks=False)
    return writing.draft(analyses.analyse(source), Path("/nowhere/style"))


def decided(text: str) -> tuple[Any, Any, Any]:
    found = adopt(text).decided
    return found["goal"]["metric"], found["data"], found["train"]


def test_of_models_that_a_loop_compares_one_is_taken_and_the_others_are_told_of() -> None:
    metric, data, train = decided(LOOP)
    assert metric == "roc_auc"
    assert data == {"source": "https://example.org/churn.csv", "target": "y", "exclude": ["id"]}
    assert train == {"estimator": "random_forest", "params": {"n_estimators": 200}, "seed": 0}
    assert any("`logistic_regression` is fitted too" in note.what for note in adopt(LOOP).notes)


def test_a_target_that_is_popped_from_the_parts_of_a_split_is_the_tables() -> None:
    """Not the whole table beside the target of a part, which has other rows."""
    metric, data, train = decided(POPPED)
    assert metric == "accuracy"
    assert data == {"source": "../d.csv", "target": "y", "split": {"test": 0.2}}
    assert train["search"]["space"] == {"C": {"choices": [0.1, 1, 10]}}


@pytest.mark.parametrize(
    ("train", "test"),
    [("df.head(cut)", "df.tail(df.height - cut)"), ("df.head(800)", "df.tail(200)"),
     ("df.slice(0, cut)", "df.slice(cut)"), ("df[:cut]", "df[cut:]")],
)  # fmt: skip
def test_the_first_rows_of_a_sorted_table_are_a_split_by_time(train: str, test: str) -> None:
    """Split at random, what comes later would be learned from, and the metric come out too good."""
    text = POLARS.replace("df.head(cut)", train).replace("df.tail(df.height - cut)", test)
    metric, data, _ = decided(text)
    assert (metric, data["time"], data["target"]) == ("average_precision", "joined", "churned")


def test_the_first_rows_of_what_is_then_split_at_random_are_none() -> None:
    text = POLARS.replace(
        "train, test = df.head(cut), df.tail(df.height - cut)", "train, test = train_test_split(df.head(800))"
    )
    data = decided(
        text.replace("import polars", "from sklearn.model_selection import train_test_split\nimport polars")
    )[1]
    assert "time" not in data


def test_a_package_that_lies_beside_a_script_is_asked_for() -> None:
    text = POPPED.replace(
        "df = pd.read_csv", "from my_helpers.tables import tidy\ndf = tidy(pd.read_csv"
    ).replace('"d.csv")', '"d.csv"))')
    (note,) = (note for note in adopt(text).notes if "my_helpers" in note.what)
    assert "not installed here" in note.what
    assert "beside prepare.py" in note.then
    assert not any("not installed" in note.what for note in adopt(POPPED).notes)


def test_a_package_beside_a_script_counts_as_not_installed_where_that_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_it.py").write_text("tidy = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = POPPED.replace("df = pd.read_csv", "from beside_it import tidy\ndf = tidy(pd.read_csv").replace(
        '"d.csv")', '"d.csv"))'
    )
    source = notebooks.of_text(tmp_path / "style.py", text)
    notes = writing.draft(analyses.analyse(source), tmp_path / "style").notes
    assert any("`beside_it` is imported and not installed here" in note.what for note in notes)


def test_a_library_that_cannot_be_taken_over_is_named() -> None:
    with pytest.raises(errors.InputError, match="It uses statsmodels, whose models are not taken over"):
        adopt(OLS)
