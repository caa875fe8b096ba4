"""MLflow's scoring protocol: `POST /invocations`.

JSON with one of `dataframe_split`, `dataframe_records`, `instances` or `inputs`,
or CSV with a header, as MLflow's own server takes them
(https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/), with what its
clients write for missing values: `NaN` for numbers and `"NaT"` for times. Other
keys beside the rows and `params` are passed over as MLflow does for models
without parameters. Different on purpose: a row that lacks a feature and a value of
another type are refused rather than filled in or converted, and Parquet is not
read, because a small compressed body can unfold to gigabytes.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pilotage.core import errors
from pilotage.core.artifacts import Model
from pilotage.core.specs import FeatureKind
from pilotage.serving import problems
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches, codecs
from pilotage.serving.protocols.batches import Answer, Batch, Decoded

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_CSV = "text/csv"
_EXPECTED = f"`application/json` or `{_CSV}`"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_NO_TIME = "NaT"
_NO_VALUES = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan"}
    | {"null", _NO_TIME}
)
"""CSV fields that pandas reads as missing; for a category only the empty one is, as in training."""
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|NaN', re.DOTALL)


def decode(body: bytes, content_type: str, model: Model, limits: Limits) -> Decoded:
    """The batch of a scoring request, JSON or CSV.

    Raises:
        Problem: the body is neither, or has too many rows.
        RequestError: it is of another shape, or a row cannot be taken.
    """
    if _kind_of(content_type) == _CSV:
        return Decoded(_of_csv(body, model, limits), _encode)
    form, data = _form(_parse(body, content_type))
    missing = _times_of(model) if b'"NaT"' in body else ()
    if form == "dataframe_split":
        return Decoded(_of_split(data, model, limits, missing), _encode)
    if form != "dataframe_records" and isinstance(data, dict):
        return Decoded(_of_columns(data, form, model, limits, missing), _encode)
    return Decoded(_of_items(batches.check_list(data, form, limits.rows), model, missing), _encode)


def _kind_of(content_type: str) -> str:
    """The media type.

    Raises:
        Problem: it has another parameter than a charset that is UTF-8, which older clients send.
    """
    kind, charset = batches.media_type(content_type)
    names = [part.partition("=")[0].strip().lower() for part in content_type.split(";")[1:]]
    if any(name not in ("charset", "") for name in names) or charset not in ("utf-8", "utf8", "us-ascii"):
        raise problems.unsupported(content_type, f"{_EXPECTED} without parameters but the charset")
    if kind != _CSV and not kind.endswith("json"):
        raise problems.unsupported(content_type, _EXPECTED)
    return kind


def _parse(body: bytes, content_type: str) -> Any:
    """The JSON document, in which `NaN` may stand for null, as Python's json module writes it."""
    try:
        return batches.parse_json(body, content_type)
    except problems.Problem:
        if b"NaN" not in body:
            raise
    plain = _TOKENS.sub(lambda token: b"null" if token[0] == b"NaN" else token[0], body)
    return batches.parse_json(plain, content_type)


def _form(document: Any) -> tuple[str, Any]:
    """Which form the rows have, and the rows."""
    if not isinstance(document, dict):
        raise errors.RequestError(f"The body is {batches.kind_of(document)}, expected an object.")
    given = [form for form in FORMS if form in document]
    if len(given) != 1:
        valid = ", ".join(f"`{form}`" for form in FORMS)
        raise errors.RequestError(f"The body has {len(given)} of the keys {valid}, expected exactly one.")
    return given[0], document[given[0]]


def _times_of(model: Model) -> tuple[str, ...]:
    """Names of what holds times."""
    names = [feature.name for feature in model.features if feature.kind is FeatureKind.TIME]
    return tuple(names) if model.time is None else (*names, model.time)


def _encode(answer: Answer) -> bytes:
    return codecs.dump({"predictions": codecs.values_of(answer.prediction)})


def write_predictions(
    model: Model,
    version: int,
    ids: list[str | None] | None,
    predictions: list[Any],
    probabilities: list[list[float]] | None,
) -> bytes:
    """The answer of `/invocations`, which has predictions only."""
    return codecs.dump({"predictions": predictions})


def _of_items(items: list[Any], model: Model, missing: Sequence[str]) -> Batch:
    """Rows as objects, as lists of values in the order of the features, or as values of the only feature."""
    names = [feature.name for feature in model.features]
    if items and isinstance(items[0], list):
        return _of_table(items, names, model, missing)
    if len(names) == 1 and not any(isinstance(item, dict) for item in items):
        return _of_table([[item] for item in items], names, model, missing)
    if missing:
        items = [_without(item, missing) if isinstance(item, dict) else item for item in items]
    return batches.of_rows(model, items, None)


def _without(row: Mapping[str, Any], missing: Sequence[str]) -> dict[str, Any]:
    """The row with null for a time that is pandas' missing one."""
    return {**row, **{name: None for name in missing if row.get(name) == _NO_TIME}}


def _of_table(rows: Sequence[Any], names: Sequence[str], model: Model, missing: Sequence[str] = ()) -> Batch:
    if len(set(names)) != len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise errors.RequestError(f"Column `{twice[:60]}` comes twice.", key="columns")
    for position, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"{len(row)} values" if isinstance(row, list) else batches.kind_of(row)
            raise errors.RequestError(
                f"Row {position} is {found}, expected a list of {len(names)} values.", row=position
            )
    columns = dict(zip(names, (list(values) for values in zip(*rows, strict=True)), strict=False))
    return _of_lists(columns or {name: [] for name in names}, len(rows), model, missing)


def _of_lists(columns: dict[str, list[Any]], rows: int, model: Model, missing: Sequence[str]) -> Batch:
    for name in missing:
        if name in columns:
            columns[name] = [None if value == _NO_TIME else value for value in columns[name]]
    return batches.of_columns(model, columns, rows)


def _of_split(data: Any, model: Model, limits: Limits, missing: Sequence[str]) -> Batch:
    """Rows as lists; without `columns` they are in the order of the model's features."""
    if not isinstance(data, dict):
        raise errors.RequestError(f"`dataframe_split` is {batches.kind_of(data)}, expected an object.")
    document = batches.check_keys(data, ("data",), ("columns", "index"))
    names = [feature.name for feature in model.features]
    if document.get("columns") is not None:
        names = batches.check_list(document["columns"], "columns", limits.rows)
    if not all(isinstance(name, str) for name in names):
        raise errors.RequestError("`columns` holds something else than text.", key="columns")
    return _of_table(batches.check_list(document["data"], "data", limits.rows), names, model, missing)


def _of_columns(
    data: dict[str, Any], form: str, model: Model, limits: Limits, missing: Sequence[str]
) -> Batch:
    """Columns by name, each a list of values or of one-element lists; or one row, by plain values."""
    if data and not any(isinstance(value, (list, dict)) for value in data.values()):
        return batches.of_rows(model, [_without(data, missing)], None)
    columns = {
        name: [_alone(value) for value in batches.check_list(values, name, limits.rows)]
        for name, values in data.items()
    }
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise errors.RequestError(
            f"The columns of `{form}` have {', '.join(map(str, sorted(lengths)))} values,"
            " expected as many in each."
        )
    return _of_lists(columns, lengths.pop() if lengths else 0, model, missing)


def _alone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _of_csv(body: bytes, model: Model, limits: Limits) -> Batch:
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header, lines = next(reader), _lines(reader, limits)
    except UnicodeDecodeError as error:
        raise problems.malformed(f"The body is not UTF-8: {error}.") from None
    except (csv.Error, StopIteration) as error:
        raise problems.malformed(f"The body is not CSV with a header: {error}.") from None
    kinds = {feature.name: feature.kind for feature in model.features}
    if model.time is not None:
        kinds.setdefault(model.time, FeatureKind.TIME)
    rows = [
        [_value(kinds.get(name), text) for name, text in zip(header, line, strict=True)]
        if len(line) == len(header)
        else list(line)
        for line in lines
    ]
    return _of_table(rows, header, model)


def _lines(reader: Iterable[list[str]], limits: Limits) -> list[list[str]]:
    """The lines that are not empty, read no further than the server takes."""
    found = []
    for line in reader:
        if line:
            found.append(line)
        if len(found) > limits.rows:
            raise problems.too_many("rows", len(found), limits.rows)
    return found


def _value(kind: FeatureKind | None, text: str) -> Any:
    """What a CSV field means for a feature of `kind`; what means nothing stays text and is refused later."""
    if text == "" or (kind not in (None, FeatureKind.CATEGORY, FeatureKind.TEXT) and text in _NO_VALUES):
        return None
    if kind is FeatureKind.BOOLEAN:
        return _BOOLEANS.get(text.strip().lower(), text)
    if kind is FeatureKind.NUMBER:
        try:
            return text if "_" in text else float(text)
        except ValueError:
            return text
    return text
