"""MLflow's scoring protocol: `POST /invocations`.

JSON with one of `dataframe_split`, `dataframe_records`, `instances` or `inputs`,
or CSV with a header, as MLflow's own server takes them
(https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/). `params`
must be empty, because no model here takes any.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from pilotage.core import errors
from pilotage.core.artifacts import Model
from pilotage.core.specs import FeatureKind
from pilotage.serving import problems
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import batches, codecs
from pilotage.serving.protocols.batches import Answer, Batch, Decoded

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def decode(body: bytes, content_type: str, model: Model, limits: Limits) -> Decoded:
    """The batch of a scoring request, JSON or CSV.

    Raises:
        Problem: the body is neither, or has too many rows.
        RequestError: it is of another shape, or a row cannot be taken.
    """
    kind, charset = batches.media_type(content_type)
    if kind == "text/csv" and charset in ("utf-8", "utf8", "us-ascii"):
        return Decoded(_of_csv(body, model, limits), _encode)
    document = batches.parse_json(body, content_type)
    given = [form for form in FORMS if isinstance(document, dict) and form in document]
    if len(given) != 1:
        valid = ", ".join(f"`{form}`" for form in FORMS)
        raise errors.RequestError(f"The body has {len(given)} of the keys {valid}, expected exactly one.")
    form = given[0]
    data = batches.check_keys(document, (form,), ("params",))[form]
    if document.get("params"):
        raise errors.RequestError("`params` is not empty, but this model takes none.", key="params")
    if form == "dataframe_split":
        return Decoded(_of_split(data, model, limits), _encode)
    if form == "inputs" and isinstance(data, dict):
        return Decoded(_of_inputs(data, model, limits), _encode)
    return Decoded(_of_items(batches.check_list(data, form, limits.rows), model), _encode)


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


def _of_items(items: list[Any], model: Model) -> Batch:
    """Rows as objects, or as lists of values in the order of the model's features."""
    if not items or not isinstance(items[0], list):
        return batches.of_rows(model, items, None)
    return _of_table(items, [feature.name for feature in model.features], model)


def _of_table(rows: Sequence[Any], names: Sequence[str], model: Model) -> Batch:
    if len(set(names)) != len(names):
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise errors.RequestError(f"Column `{twice[:60]}` comes twice.", key="columns")
    for position, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"{len(row)} values" if isinstance(row, list) else batches.kind_of(row)
            raise errors.RequestError(
                f"Row {position} is {found}, expected a list of {len(names)} values.", row=position
            )
    columns = dict(zip(names, (list(values) for values in zip(*rows, strict=True)), strict=False))
    return batches.of_columns(model, columns or {name: [] for name in names}, len(rows))


def _of_split(data: Any, model: Model, limits: Limits) -> Batch:
    if not isinstance(data, dict):
        raise errors.RequestError(f"`dataframe_split` is {batches.kind_of(data)}, expected an object.")
    document = batches.check_keys(data, ("columns", "data"), ("index",))
    names = batches.check_list(document["columns"], "columns", limits.rows)
    if not all(isinstance(name, str) for name in names):
        raise errors.RequestError("`columns` holds something else than text.", key="columns")
    return _of_table(batches.check_list(document["data"], "data", limits.rows), names, model)


def _of_inputs(data: dict[str, Any], model: Model, limits: Limits) -> Batch:
    """Columns by name, each a list of values or of one-element lists."""
    columns = {
        name: [_alone(value) for value in batches.check_list(values, name, limits.rows)]
        for name, values in data.items()
    }
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise errors.RequestError(
            f"The columns of `inputs` have {', '.join(map(str, sorted(lengths)))} values,"
            " expected as many in each."
        )
    return batches.of_columns(model, columns, lengths.pop() if lengths else 0)


def _alone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _of_csv(body: bytes, model: Model, limits: Limits) -> Batch:
    try:
        header, *lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        raise problems.malformed(f"The body is not UTF-8: {error}.") from None
    except (csv.Error, ValueError) as error:
        raise problems.malformed(f"The body is not CSV with a header: {error}.") from None
    lines = [line for line in lines if line]
    if len(lines) > limits.rows:
        raise problems.too_many("rows", len(lines), limits.rows)
    kinds = {feature.name: feature.kind for feature in model.features}
    rows = [
        [_value(kinds.get(name), text) for name, text in zip(header, line, strict=True)]
        if len(line) == len(header)
        else list(line)
        for line in lines
    ]
    return _of_table(rows, header, model)


def _value(kind: FeatureKind | None, text: str) -> Any:
    """What a CSV field means for a feature of `kind`; what means nothing stays text and is refused later."""
    if text == "":
        return None
    if kind is FeatureKind.BOOLEAN:
        return _BOOLEANS.get(text.strip().lower(), text)
    if kind is FeatureKind.NUMBER:
        try:
            return text if "_" in text else float(text)
        except ValueError:
            return text
    return text
