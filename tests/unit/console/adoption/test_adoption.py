"""Notebooks in the styles that people use become pilots that load, and nothing of them is executed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from pilotage.components import evaluate, ingest, register, train, validate
from pilotage.console import checks
from pilotage.console.adoption import analyses, notebooks, writing
from pilotage.console.adoption.writing import Adopted
from pilotage.core import errors, pilots, settings

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
NAMES = sorted(file.name for file in NOTEBOOKS.iterdir() if file.suffix in (".ipynb", ".py"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks, and beside them the tables that they read."""
    place = tmp_path_factory.mktemp("adopted")
    for name in NAMES:
        shutil.copy(NOTEBOOKS / name, place)
    (place / "data" / "clinic").mkdir(parents=True)
    wine = datasets.load_wine(as_frame=True).frame.rename(columns={"target": "cultivar"})
    wine.to_csv(place / "data" / "wine.csv", index=False)
    clinic = datasets.load_diabetes(as_frame=True, scaled=False).frame
    clinic = clinic.rename(columns={"target": "progression"}).assign(patient=range(len(clinic)))
    clinic.to_csv(place / "data" / "clinic" / "diabetes.csv", index=False)
    draw, rows = np.random.default_rng(0), 400
    carat = draw.gamma(2, 0.4, rows) + 0.2
    pd.DataFrame(
        {
            "carat": carat,
            "cut": draw.choice(["Fair", "Good", "Ideal"], rows),
            "color": draw.choice(list("DEFG"), rows),
            "clarity": draw.choice(["SI1", "VS1", "IF"], rows),
            "depth_percent": draw.normal(61, 1, rows),
            "table_percent": draw.normal(57, 2, rows),
            "price": (4000 * carat + draw.normal(0, 300, rows)).clip(300),
            "length_mm": carat * 6,
            "width_mm": carat * 6.1,
            "depth_mm": carat * 3.7,
        }
    ).to_csv(place / "data" / "diamonds.csv", index=False)
    visits = draw.poisson(5, rows)
    customers = pd.DataFrame(
        {
            "age": draw.integers(18, 80, rows),
            "plan": draw.choice(["free", "pro"], rows),
            "visits": visits,
            "spent": draw.gamma(2, 30, rows),
            "churned": (draw.random(rows) < 1 / (1 + np.exp(0.5 * visits - 2))).astype(int),
        }
    )
    with sqlite3.connect(place / "data" / "shop.db") as connection:
        customers.to_sql("customers", connection, index=False)
    connection.close()
    delay = draw.normal(5, 20, rows)
    pd.DataFrame(
        {
            "scheduled_at": pd.date_range("2025-01-01", periods=rows, freq="h"),
            "carrier_code": draw.integers(0, 9, rows),
            "distance": draw.integers(100, 3000, rows),
            "dep_delay": delay,
            "arr_delay": delay + draw.normal(0, 10, rows),
        }
    ).to_csv(place / "data" / "flights.csv", index=False)
    return place


@pytest.fixture(scope="module")
def adopted(place: Path) -> dict[str, Adopted]:
    """All of them, adopted, by file."""
    return {
        name: writing.write(
            analyses.analyse(notebooks.read(place / name)), place / "pilots" / writing.name_of(Path(name))
        )
        for name in NAMES
    }


DECIDED: dict[str, dict[str, Any]] = {
    "wine_plain.ipynb": {
        "goal": {"metric": "accuracy"},
        "data": {"source": "../../data/wine.csv", "target": "cultivar", "split": {"test": 0.25}},
        "train": {"estimator": "random_forest", "params": {"n_estimators": 60, "max_depth": 6}, "seed": 7},
    },
    "diabetes_functions.py": {
        "goal": {"metric": "neg_mean_absolute_error"},
        "data": {
            "source": {"python": "prepare:load"},
            "target": "progression",
            "exclude": ["patient"],
            "split": {"test": 0.2},
        },
        "train": {
            "estimator": "hist_gradient_boosting",
            "params": {"max_iter": 120, "learning_rate": 0.05},
            "seed": 11,
        },
    },
    "diamonds_chained.ipynb": {
        "goal": {"metric": "roc_auc"},
        "data": {"source": {"python": "prepare:load"}, "target": "dear", "split": {"test": 0.3}},
        "train": {"estimator": "logistic_regression", "params": {"C": 0.5, "max_iter": 2000}, "seed": 1},
    },
    "diamonds_pipeline.ipynb": {
        "goal": {"metric": "neg_mean_absolute_error"},
        "data": {
            "source": "../../data/diamonds.csv",
            "target": "price",
            "exclude": ["width_mm", "depth_mm"],
            "split": {"test": 0.2},
        },
        "train": {
            "estimator": "random_forest",
            "search": {
                "trials": 4,
                "space": {"n_estimators": {"choices": [20, 40]}, "max_depth": {"choices": [6, 10]}},
            },
            "seed": 42,
        },
    },
    "churn_sql_xgboost.ipynb": {
        "goal": {"metric": "roc_auc"},
        "data": {"source": {"python": "prepare:load"}, "target": "churned", "split": {"test": 0.2}},
        "train": {
            "estimator": "xgboost",
            "params": {"learning_rate": 0.1, "max_depth": 4, "n_estimators": 80},
            "seed": 3,
        },
    },
    "flights_polars_lightgbm.ipynb": {
        "goal": {"metric": "roc_auc"},
        "data": {"source": {"python": "prepare:load"}, "target": "late", "time": "scheduled_at"},
        "train": {
            "estimator": "lightgbm",
            "params": {"n_estimators": 80, "learning_rate": 0.08, "num_leaves": 15},
            "seed": 0,
        },
    },
    "messy.ipynb": {
        "goal": {"metric": "f1_macro"},
        "data": {"source": {"python": "prepare:load"}, "target": "cultivar", "split": {"test": 0.2}},
        "train": {"estimator": "estimator:build", "seed": 0},
    },
    "tumours_own_estimator.py": {
        "goal": {"metric": "matthews_corrcoef"},
        "data": {"source": {"python": "prepare:load"}, "target": "target", "split": {"test": 0.3}},
        "train": {
            "estimator": "estimator:build",
            "search": {
                "trials": 3,
                "space": {"kneighborsclassifier__n_neighbors": {"choices": [3, 5, 9, 15]}},
            },
            "seed": 5,
        },
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_notebook_does_is_what_the_pilot_says(adopted: dict[str, Adopted], name: str):
    decided = adopted[name].decided
    assert {key: decided[key] for key in ("goal", "data", "train")} == DECIDED[name]
    assert pilots.load(adopted[name].folder).spec == adopted[name].spec


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # as people write it
@pytest.mark.parametrize("name", NAMES)
def test_an_adopted_pilot_can_be_checked(adopted: dict[str, Adopted], tmp_path: Path, name: str):
    found = checks.check(pilots.load(adopted[name].folder), settings.load(home=tmp_path))
    assert found.snapshot.rows > 100
    assert found.snapshot.target == DECIDED[name]["data"]["target"]
    names = {feature.name for feature in found.snapshot.features}
    assert not names & {"patient", "arr_delay", "cultivar", "progression", "price_eur"}
    assert ("ash" in names) == (name == "wine_plain.ipynb")
    assert len(names) > 3


def test_nothing_was_executed(adopted: dict[str, Adopted], place: Path):
    assert adopted
    assert {file.name for file in place.iterdir()} == {*NAMES, "data", "pilots"}
    assert not Path("executed-by-adopt.txt").exists()


def test_code_is_taken_with_all_that_it_needs_and_no_more(adopted: dict[str, Adopted]):
    text = (adopted["diabetes_functions.py"].folder / "prepare.py").read_text()
    assert "def add_features(df):" in text
    assert "DATA_DIR = str(BASE / 'data/clinic')" in text
    for left_out in ("argparse", "train_test_split", "HistGradientBoosting", "print"):
        assert left_out not in text
    text = (adopted["messy.ipynb"].folder / "prepare.py").read_text()
    assert "alcohol_by_hue" in text
    assert "SVC" not in text
    assert "StandardScaler" not in text


def test_what_is_open_is_told_with_its_place_and_what_to_do(adopted: dict[str, Adopted]):
    notes = adopted["messy.ipynb"].document["undecided"]
    told = {(note["cell"], note["what"].split(" ")[0]) for note in notes}
    assert told >= {(3, "`SVC`"), (4, "`files"), (5, "the"), (8, "the")}
    assert all(note["line"] >= 1 for note in notes)
    assert any("%%bash" in note["what"] for note in notes)
    assert any("not Python" in note["what"] and note["then"] for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["diamonds_pipeline.ipynb", "tumours_own_estimator.py"])
def test_an_adopted_pilot_is_trained_to_a_version(adopted: dict[str, Adopted], tmp_path: Path, name: str):
    pilot, home = pilots.load(adopted[name].folder), settings.load(home=tmp_path / "home")
    spec, folder = pilot.spec, pilot.folder
    for step in ("ingest", "validate", "train", "evaluate", "register"):
        (tmp_path / step).mkdir()
    snapshot = ingest.ingest(spec, folder, home, tmp_path / "ingest")
    report = validate.validate(spec, folder, home, snapshot, None, tmp_path / "validate")
    trained = train.train(spec, folder, home, snapshot, report, "r1", tmp_path / "train")
    scorecard = evaluate.evaluate(spec, folder, home, snapshot, report, trained, tmp_path / "evaluate")
    version = register.register(
        spec, folder, home, snapshot, report, trained, scorecard, "r1", tmp_path / "register"
    )
    assert (version.version, scorecard.passed) == (1, True)


def test_a_second_time_overwrites_nothing(adopted: dict[str, Adopted], place: Path):
    folder = adopted["wine_plain.ipynb"].folder
    (folder / "pilot.yaml").write_text("mine")
    found = analyses.analyse(notebooks.read(place / "wine_plain.ipynb"))
    with pytest.raises(errors.SpecError, match=r"pilot\.yaml already"):
        writing.write(found, folder)
    assert (folder / "pilot.yaml").read_text() == "mine"
    (place / "a-file").write_text("x")
    with pytest.raises(errors.SpecError, match="is a file"):
        writing.write(found, place / "a-file")
    (place / "a-file").unlink()
    (place / "linked").mkdir()
    (place / "linked" / "pilot.yaml").symlink_to(place / "nowhere.yaml")
    with pytest.raises(errors.SpecError, match=r"pilot\.yaml already"):
        writing.write(found, place / "linked")


def notebook(folder: Path, *cells: str, language: str = "python", name: str = "n.ipynb") -> Path:
    v4: Any = nbformat.v4  # without types
    made = v4.new_notebook(
        cells=[v4.new_code_cell(cell) for cell in cells],
        metadata={"language_info": {"name": language}},
    )
    (folder / name).write_text(v4.writes(made))
    return folder / name


FIT = "from sklearn.linear_model import Ridge\nRidge(alpha=2.0).fit(df.drop(columns='y'), df['y'])"


def adopt(file: Path) -> Adopted:
    return writing.write(analyses.analyse(notebooks.read(file)), file.parent / "pilot")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{not json", "is no notebook"),
        ('{"cells": 3}', "is no notebook"),
        ("[]", "is no notebook"),
        ("", "is no notebook"),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
            "is no notebook",
        ),
        ('{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}', "notebook|no cell"),
        ("\x00" * 100, "is no notebook"),
    ],
)
def test_a_broken_notebook_is_refused(tmp_path: Path, content: str, told: str):
    file = tmp_path / "n.ipynb"
    file.write_text(content)
    with pytest.raises(errors.InputError, match=told):
        adopt(file)
    assert not (tmp_path / "pilot").exists()


def test_another_language_is_refused(tmp_path: Path):
    with pytest.raises(errors.InputError, match="is in R, not in Python"):
        adopt(notebook(tmp_path, "x <- 1", language="R"))


def test_old_notebooks_are_read(tmp_path: Path):
    code = f"import pandas as pd\ndf = pd.read_csv('t.csv')\n{FIT}"
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "code", "collapsed": False, "input": code, "language": "python",
                     "metadata": {}, "outputs": [], "prompt_number": 1},
                ],
                "metadata": {},
            }
        ],
    }  # fmt: skip
    (tmp_path / "n.ipynb").write_text(json.dumps(old))
    found = adopt(tmp_path / "n.ipynb")
    assert found.decided["train"] == {"estimator": "logistic_regression", "params": {"alpha": 2.0}}
    assert found.decided["goal"] == {"metric": "r2"}
    assert any("no measure was found" in note.what for note in found.notes)


@pytest.mark.parametrize(
    "cell",
    ["(" * 5000, "x = " + "-" * 20_000 + "1", "def f(:", "x = '\\udc00'", "a = " + "[" * 150 + "]" * 150],
)
def test_a_cell_that_cannot_be_read_is_left_out(tmp_path: Path, cell: str):
    found = adopt(notebook(tmp_path, cell, f"import pandas as pd\ndf = pd.read_csv('t.csv')\n{FIT}"))
    assert found.decided["data"]["target"] == "y"


def test_a_huge_notebook_is_refused_and_a_large_one_is_read(tmp_path: Path):
    cells = [
        f"import pandas as pd\ndf = pd.read_csv('t.csv')\n{FIT}",
        *(f"x{i} = {i}\nx{i} += 1" for i in range(800)),
    ]
    assert adopt(notebook(tmp_path, *cells)).decided["data"]["target"] == "y"
    with pytest.raises(errors.InputError, match="characters of code"):
        adopt(notebook(tmp_path, *cells, "# " + "x" * notebooks.MOST_CODE, name="large.ipynb"))


@pytest.mark.parametrize(
    "path", ["../../../../etc/passwd", "/etc/passwd", "~/secret.csv", "a\x00b", "x" * 5000, ""]
)
def test_paths_are_only_written_down(tmp_path: Path, path: str):
    code = f"import pandas as pd\ndf = pd.read_csv({path!r})\n{FIT}"
    found = adopt(notebook(tmp_path, code))
    assert found.decided["data"]["target"] == "y"


def test_a_password_is_not_written_down(tmp_path: Path):
    address = "postgresql://reader:hunter2@db.example/shop"
    code = f"import pandas as pd\ndf = pd.read_sql('select * from t', {address!r})\n"
    plain = adopt(notebook(tmp_path, code + FIT))
    assert plain.decided["data"]["source"] == {"sql": "select * from t", "url": "env:DATABASE_URL"}
    (tmp_path / "more").mkdir()
    engine = f"from sqlalchemy import create_engine\nengine = create_engine({address!r})\n"
    code = (
        engine + "import pandas as pd\ndf = pd.read_sql('select * from t', engine)\ndf['z'] = df['a'] * 2\n"
    )
    made = adopt(notebook(tmp_path / "more", code + FIT))
    text = "".join(file.read_text() for found in (plain, made) for file in found.files)
    assert "hunter2" not in text
    assert 'os.environ["DATABASE_URL"]' in text.replace("'", '"')


@pytest.mark.parametrize("code", ["print('hello')", "import torch\nmodel = 1", "def fit(): pass\nfit()"])
def test_without_a_model_it_says_how_to_begin_instead(tmp_path: Path, code: str):
    with pytest.raises(errors.InputError, match="fits no model"):
        adopt(notebook(tmp_path, code))


def test_a_network_of_torch_is_told_of(tmp_path: Path):
    code = (
        "import pandas as pd, torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n    def fit(self, X, y): ...\n"
        "df = pd.read_csv('t.csv')\nnet = Net()\nnet.fit(df.drop(columns=['y']), df['y'])\n"
    )
    found = adopt(notebook(tmp_path, code))
    assert found.decided["train"]["estimator"] == "hist_gradient_boosting"
    assert any("mlp" in note.then for note in found.notes)


def test_a_loader_of_a_module_beside_is_not_hidden_by_the_pilots_own(tmp_path: Path) -> None:
    """The function gets another name than what is imported, and a target of one column becomes a column."""
    text = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
from helpers import load, prepared

rows = load("rows.csv")
X, y = prepared(rows)
LogisticRegression().fit(X, y)
"""
    (tmp_path / "train.py").write_text(text, encoding="utf-8")
    made = adopt(tmp_path / "train.py")
    code = (made.folder / "prepare.py").read_text(encoding="utf-8")
    assert "python: prepare:load_table" in (made.folder / "pilot.yaml").read_text(encoding="utf-8")
    assert "def load_table():" in code
    assert "numpy.ravel(y)" in code
