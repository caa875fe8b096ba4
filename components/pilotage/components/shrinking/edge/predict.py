#!/usr/bin/env python3
"""Predicts rows of JSON lines or CSV with the model beside this file; needs onnxruntime, which brings NumPy.

    python predict.py rows.jsonl              one JSON document a row, to standard output
    python predict.py rows.csv -o out.jsonl   CSV with a header; an empty field is a missing value
    python predict.py - < rows.jsonl          rows from standard input
    python predict.py --check                 only whether the files are those that the manifest names

Each row gives {"row", "prediction"} and, of classifiers, "probabilities" in the order of
"classes" in model.json; or {"row", "errors": [{"column", "message"}]}. Rows count from 0.

Exit codes: 0 all rows were predicted; 1 a file could not be read or written; 2 rows or the file
were wrong, or the bundle is damaged.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import math
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO

HERE = Path(__file__).resolve().parent
MANIFEST = "manifest.json"
AT_ONCE = 1000
EXPECTED = {
    "number": "a finite number or null",
    "boolean": "true, false or null",
    "category": "text, a whole number, a boolean or null",
    "time": "an ISO 8601 date or time, or null",
}
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - times are UTC without saying so here
SHOWN = 60


class WrongInput(Exception):
    """The bundle or the file with rows cannot be used; the message says why and what to do."""


class Fault(NamedTuple):
    """What is wrong with one value of a row; without a column, with the row."""

    column: str | None
    message: str


# -- the bundle ------------------------------------------------------------


def check(folder: Path) -> dict[str, str]:
    """Digests by file name, if all files are those that the manifest names.

    Raises:
        WrongInput: one is missing or changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, str] = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongInput(
            f"`{folder / MANIFEST}` cannot be read: {error}. Unpack the bundle again."
        ) from error
    for name, digest in sorted(files.items()):
        if Path(name).name != name:
            raise WrongInput(f"The manifest names `{name}`, which is no file of this folder.")
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise WrongInput(f"`{name}` of the bundle cannot be read: {error}. Unpack it again.") from error
        if found != digest:
            raise WrongInput(
                f"`{name}` is not the file that the manifest names (sha256 {found[:12]}, expected"
                f" {digest[:12]}): the bundle is damaged or was changed. Unpack it again."
            )
    if "model.onnx" not in files or "model.json" not in files:
        raise WrongInput("The manifest names no model. Make the bundle again.")
    return files


class Model:
    """The model of a bundle."""

    def __init__(self, folder: Path) -> None:
        check(folder)
        import numpy
        import onnxruntime

        self.np: Any = numpy
        self.facts: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.kinds: dict[str, str] = {item["name"]: item["kind"] for item in self.facts["features"]}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        graph = (folder / "model.onnx").read_bytes()
        self.session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answers for rows whose values `read` has converted."""
        np, facts = self.np, self.facts
        matrix: Any = np.concatenate([self._filled(entry, rows) for entry in facts["inputs"]], axis=1)
        if facts["single"]:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32).astype(np.float64)
        entry = self.session.get_inputs()[0]
        if entry.type != "tensor(double)":
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32)
        found = self.session.run(None, {entry.name: matrix})[0].astype(np.float64) + np.array(facts["base"])
        return self._answers(found)

    def _answers(self, found: Any) -> list[dict[str, Any]]:
        np, link = self.np, self.facts["link"]
        if self.facts["task"] == "regression":
            numbers = np.exp(found[:, 0]) if link == "exp" else found[:, 0]
            return [{"prediction": value} for value in numbers.tolist()]
        if link in ("logistic", "second"):
            second = found[:, 0]
            if link == "logistic":
                small = np.exp(-np.abs(second))
                second = np.where(second >= 0, 1.0, small) / (1.0 + small)
            found = np.column_stack([1.0 - second, second])
        elif link == "softmax":
            powers = np.exp(found - found.max(axis=1, keepdims=True))
            found = powers / powers.sum(axis=1, keepdims=True)
        classes = self.facts["classes"]
        return [
            {"prediction": classes[place], "probabilities": shares}
            for place, shares in zip(found.argmax(axis=1).tolist(), found.tolist(), strict=True)
        ]

    def _filled(self, entry: dict[str, Any], rows: list[dict[str, Any]]) -> Any:
        """The columns of the graph's input that one feature fills."""
        np, values = self.np, [row[entry["feature"]] for row in rows]
        if entry["kind"] == "missing":
            return np.array([[float(value is None or value != value)] for value in values])
        if entry["kind"] == "code":
            codes, missing, unseen = entry["codes"], entry["missing"], entry["unseen"]
            told = [missing if value is None else codes.get(value, unseen) for value in values]
            return np.array([[math.nan if code is None else code] for code in told], dtype=np.float64)
        if entry["kind"] == "one_hot":
            places, missing, unseen = entry["positions"], entry["missing"], entry["unseen"]
            filled = np.zeros((len(values), entry["width"]))
            for row, value in enumerate(values):
                place = missing if value is None else places.get(value, unseen)
                if place is not None:
                    filled[row, place] = 1.0
            return filled
        parts = [time_parts(value) for value in values] if entry["kind"] == "time" else [[v] for v in values]
        filled = np.array(
            [[math.nan if part is None else part for part in row] for row in parts], dtype=np.float64
        )
        scalings = entry.get("scaling")
        for place, scaling in enumerate([scalings] if isinstance(scalings, dict) else scalings or []):
            column = filled[:, place]
            column[np.isnan(column)] = scaling["fill"]
            column -= scaling["mean"]
            column /= scaling["scale"]
        return filled


def time_parts(moment: datetime | None) -> list[float | None]:
    """Days since 1970, month, weekday (Monday is 0) and hour."""
    if moment is None:
        return [None] * 4
    return [(moment - EPOCH).days, moment.month, moment.weekday(), moment.hour]


# -- rows ------------------------------------------------------------------


def read(kinds: dict[str, str], row: Any, *, text: bool) -> tuple[dict[str, Any], list[Fault]]:
    """A row's values as the model takes them, and what is wrong with it.

    Args:
        kinds: kind of each feature by name.
        row: one JSON document, or a record of CSV.
        text: whether all values are text, of which the empty one is missing.
    """
    if not isinstance(row, dict):
        return {}, [Fault(None, f"the row is {show(row)}, expected an object of features")]
    values, faults = {}, []
    for name, kind in kinds.items():
        if name not in row:
            faults.append(Fault(name, f"the row lacks feature `{name}`; send {EXPECTED[kind]}"))
            continue
        try:
            values[name] = convert(kind, row[name], text=text)
        except (TypeError, ValueError, OverflowError):
            faults.append(Fault(name, f"feature `{name}` is {show(row[name])}, expected {EXPECTED[kind]}"))
    return values, faults


def convert(kind: str, value: Any, *, text: bool) -> Any:
    """The value as the model takes it; None is missing."""
    if value is None or (text and value == ""):
        return None
    if kind == "category":
        return category(value)
    if kind == "time":
        return moment(value)
    if kind == "boolean":
        return truth(value, text=text)
    if isinstance(value, bool) or not isinstance(value, (str, int, float) if text else (int, float)):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def category(value: Any) -> str:
    """The text that stands for a category: `1`, `1.0` and `"1"` are one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    raise TypeError


def moment(value: Any) -> datetime:
    """An instant in UTC; text without an offset is taken as UTC."""
    if not isinstance(value, str):
        raise TypeError
    found = datetime.fromisoformat(value)
    if not isinstance(found, datetime) or type(found) is date:
        raise TypeError
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def truth(value: Any, *, text: bool) -> float:
    """A boolean as a number."""
    if text:
        known = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
        if str(value).lower() not in known:
            raise ValueError
        return known[str(value).lower()]
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return float(value)
    raise TypeError


def show(value: Any) -> str:
    """A value for a message, of bearable length."""
    words = repr(value)
    return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"


def refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are no JSON."""
    raise ValueError(f"`{name}` is not JSON; send null for a missing value")


class Reader:
    """Rows of a file one after the other; one that cannot be parsed comes as its fault."""

    def __init__(self, stream: TextIO, *, text: bool, wanted: list[str]) -> None:
        self.text = text
        self._stream = stream
        self._wanted = wanted

    def __iter__(self) -> Any:
        return self._records() if self.text else self._documents()

    def _documents(self) -> Any:
        for line in self._stream:
            if not line.strip():
                continue
            try:
                yield json.loads(line, parse_constant=refuse_constant), None
            except (ValueError, RecursionError) as error:
                yield None, Fault(None, f"the line is no JSON document: {error}")

    def _records(self) -> Any:
        reader = csv.DictReader(self._stream, restkey="", strict=True)
        try:
            missing = [name for name in self._wanted if name not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise WrongInput(f"The CSV has no column `{missing[0]}`. Its columns are {found}.")
            for record in reader:
                if "" in record or None in record.values():
                    width = len(reader.fieldnames or ())
                    yield None, Fault(None, f"the row has not {width} fields, as the header has")
                else:
                    yield record, None
        except csv.Error as error:
            raise WrongInput(f"The CSV cannot be read after line {reader.line_num}: {error}.") from error


def answer(model: Model, rows: Reader, out: TextIO) -> tuple[int, int]:
    """Write an answer for each row; returns how many there were, and how many were wrong."""
    total = wrong = 0
    waiting: list[tuple[int, dict[str, Any] | None, list[Fault]]] = []

    def flush() -> None:
        good = [values for _, values, faults in waiting if not faults and values is not None]
        told = iter(model.predict(good) if good else [])
        for number, _, faults in waiting:
            said = [{"column": fault.column, "message": fault.message} for fault in faults]
            line = {"row": number, "errors": said} if faults else {"row": number, **next(told)}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
        waiting.clear()

    for row, fault in rows:
        values, faults = ({}, [fault]) if fault else read(model.kinds, row, text=rows.text)
        waiting.append((total, values, faults))
        total, wrong = total + 1, wrong + bool(faults)
        if len(waiting) >= AT_ONCE:
            flush()
    flush()
    return total, wrong


# -- the command -----------------------------------------------------------


def main(words: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="?", default="-", help="JSON lines or CSV; - is standard input")
    parser.add_argument("-o", "--output", default="-", help="where answers go; - is standard output")
    parser.add_argument("--csv", action="store_true", help="CSV, whatever the file is called")
    parser.add_argument("--check", action="store_true", help="only compare the files with the manifest")
    given = parser.parse_args(words)
    try:
        if given.check:
            sys.stderr.write(f"{len(check(HERE))} files are those that the manifest names.\n")
            return 0
        return run(given.rows, given.output, csv_format=given.csv or given.rows.lower().endswith(".csv"))
    except WrongInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (UnicodeDecodeError, ImportError) as error:
        sys.stderr.write(
            f"{error}\n" if isinstance(error, ImportError) else f"The rows are not UTF-8: {error}.\n"
        )
        return 2
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def run(source: str, target: str, *, csv_format: bool) -> int:
    """Answer all rows of `source`; returns the exit code."""
    model = Model(HERE)
    raw = sys.stdin.buffer if source == "-" else Path(source).open("rb")  # noqa: SIM115 - closed below
    out = sys.stdout if target == "-" else Path(target).open("w", encoding="utf-8")  # noqa: SIM115
    try:
        stream = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="" if csv_format else None)
        total, wrong = answer(model, Reader(stream, text=csv_format, wanted=list(model.kinds)), out)
    finally:
        if target != "-":
            out.close()
        if source != "-":
            raw.close()
    if not total:
        raise WrongInput("There are no rows to predict. Give JSON lines, or CSV with a header and rows.")
    if wrong:
        sys.stderr.write(f"{wrong} of {total} rows were wrong and were not predicted.\n")
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
