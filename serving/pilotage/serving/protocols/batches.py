"""What a prediction request comes down to, whichever protocol it came in: columns, ids and times.

A codec, one for each protocol, makes a batch of a body and writes the answer.
Nothing here knows HTTP, models or the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from pilotage.core import errors, features
from pilotage.core.artifacts import Feature, Model
from pilotage.core.features import Columns
from pilotage.core.models import Prediction
from pilotage.core.specs import FeatureKind
from pilotage.serving import problems
from pilotage.serving.limits import Limits
from pilotage.serving.records.labels import id_text


@dataclass(frozen=True)
class Batch:
    """The rows of one request."""

    rows: int
    columns: Columns
    ids: list[str | None] | None
    """By row; None when no row has one."""
    times: npt.NDArray[np.datetime64] | None
    """When each row's event happened, `datetime64[us]` in UTC, NaT where it does not say; or None."""


@dataclass(frozen=True)
class Answer:
    """What the live version says of a batch."""

    model: Model
    version: int
    batch: Batch
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Encoded:
    """A written answer that is not plain JSON."""

    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Encoder = Callable[[Answer], bytes | Encoded]


class Decoded(NamedTuple):
    """A batch and how its answer is written."""

    batch: Batch
    encode: Encoder


Codec = Callable[[bytes, str, Model, Limits], Decoded]
"""Reads a body, given its content type; raises RequestError or Problem."""


def parse_json(body: bytes, content_type: str) -> Any:
    """The JSON document of a body.

    Raises:
        Problem: it is of another type, or not JSON in UTF-8 with finite numbers and sane depth.
    """
    if not _is_json(content_type):
        raise problems.unsupported(content_type, "`application/json`")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise problems.malformed(f"The body is not JSON: {error}.") from None


@contextmanager
def shallow() -> Iterator[None]:
    """Refuse what is nested too deep to be looked at, or to be shown in a refusal.

    Raises:
        Problem: it is.
    """
    try:
        yield
    except RecursionError:
        raise problems.malformed("The body is nested too deep.") from None


def media_type(content_type: str) -> tuple[str, str]:
    """Media type and charset of a Content-Type header, both in lower case."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [
        part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")
    ]
    return kind, charsets[0] if charsets else "utf-8"


def _is_json(content_type: str) -> bool:
    kind, charset = media_type(content_type)
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    return is_json and charset in ("utf-8", "utf8", "us-ascii")


def check_keys(document: Any, required: Sequence[str], optional: Sequence[str] = ()) -> Mapping[str, Any]:
    """The document as an object with the `required` keys and no others than those and `optional`.

    Raises:
        RequestError: it is something else; names the key.
    """
    if not isinstance(document, dict):
        raise errors.RequestError(f"The body is {kind_of(document)}, expected an object.")
    for key in required:
        if key not in document:
            raise errors.RequestError(f"The body lacks `{key}`.", key=key)
    for key in document:
        if key not in required and key not in optional:
            valid = ", ".join(f"`{name}`" for name in (*required, *optional))
            raise errors.RequestError(f"The body has the unknown key `{key[:60]}`, expected {valid}.")
    return document


def check_list(value: Any, name: str, limit: int) -> list[Any]:
    """`value` as a list of at most `limit` items.

    Raises:
        RequestError: it is not a list.
        Problem: it is too long.
    """
    if not isinstance(value, list):
        raise errors.RequestError(f"`{name}` is {kind_of(value)}, expected a list.", key=name)
    if len(value) > limit:
        raise problems.too_many(f"`{name}`", len(value), limit)
    return value


def kind_of(value: Any) -> str:
    """The JSON type of `value` in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number"}
    return names.get(type(value), "of no JSON type")


def of_rows(model: Model, rows: Sequence[Any], ids: Sequence[Any] | None) -> Batch:
    """The batch of rows given as objects.

    Raises:
        RequestError: a row lacks a feature, has a value of another kind or a wrong id.
    """
    columns = features.from_rows(model.features, rows)
    if ids is None and model.key is not None:
        ids = [row.get(model.key) for row in rows]
    times = [row.get(model.time) for row in rows] if model.time is not None else None
    return Batch(len(rows), columns, texts(ids, len(rows)), instants(model.time, times))


def of_columns(model: Model, given: Mapping[str, Sequence[Any]], rows: int, ids: Any = None) -> Batch:
    """The batch of columns given by name, each with `rows` values.

    Raises:
        RequestError: a feature is missing or has a value of another kind, or an id is wrong.
    """
    for feature in model.features:
        if feature.name not in given:
            expected = features.EXPECTED[feature.kind]
            raise errors.RequestError(
                f"Feature `{feature.name}` is missing.", remedy=f"Send {expected}.", feature=feature.name
            )
    columns = {feature.name: features.from_values(feature, given[feature.name]) for feature in model.features}
    if ids is None and model.key is not None:
        ids = given.get(model.key)
    times = given.get(model.time) if model.time is not None else None
    return Batch(rows, columns, texts(ids, rows), instants(model.time, times))


def texts(ids: Any, rows: int) -> list[str | None] | None:
    """Ids as text, None for rows without.

    Raises:
        RequestError: there are not as many as rows, or one is of another kind.
    """
    if ids is None:
        return None
    if not isinstance(ids, list):
        raise errors.RequestError(f"`ids` is {kind_of(ids)}, expected a list.", key="ids")
    if len(ids) != rows:
        raise errors.RequestError(f"There are {len(ids)} ids and {rows} rows, expected as many of each.")
    found = [None if value is None else id_text(value, position) for position, value in enumerate(ids)]
    return found if any(value is not None for value in found) else None


def instants(name: str | None, values: Sequence[Any] | None) -> npt.NDArray[np.datetime64] | None:
    """When each row's event happened, by the column `name`; None when no row says it.

    Raises:
        RequestError: a value is no time.
    """
    if name is None or values is None or all(value is None for value in values):
        return None
    return features.from_values(Feature(name=name, kind=FeatureKind.TIME), values)
