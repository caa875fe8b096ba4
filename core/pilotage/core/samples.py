"""Rows with their features in one Arrow layout: held-out rows that training keeps, and a sample of traffic.

Counts say how each column moved; questions about several columns at once (which rows
are new, where a model fails, what moved the scores) need whole rows, and a bounded
number of them is enough. A sample is the rows with the smallest priorities, which are
drawn at random, so that samples of replicas merge into a sample of all they served
(bottom-k sampling; Cohen and Kaplan, 2007). What is asked of the rows is not known here.

    id             text or null
    time           timestamp[us, UTC] or null
    priority       double in [0, 1)
    prediction     text, as categories are spelt
    score          double: probability of the positive class, highest class probability, or the number
    probabilities  list of double in the order of the model's classes; null for regression
    truth          text or null: the class or the number that came true, where it is known
    features       struct, one field a feature: double, text, or timestamp[us] by kind; null where missing;
                   texts are cut, and images are always null: a sample stays small
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors, storage
from pilotage.core import features as feature_columns
from pilotage.core.artifacts import Feature
from pilotage.core.features import Columns
from pilotage.core.specs import EMBEDDED, FeatureKind

if TYPE_CHECKING:
    import pyarrow as pa

REFERENCE_FILE = "reference.parquet"
"""Of held-out rows, in a model's folder."""
MOST_CHARACTERS = 4096
"""Of a text that a sample keeps."""
_BELOW = b"pilotage.complete_below"


def build(
    features: Sequence[Feature],
    columns: Columns,
    *,
    predictions: Sequence[str],
    scores: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64] | None,
    priorities: npt.NDArray[np.float64],
    ids: Sequence[str | None] | None = None,
    times: npt.NDArray[np.datetime64] | None = None,
    truth: Sequence[str] | None = None,
) -> pa.Table:
    """The sample of `n` rows; arrays have shape `(n,)`, probabilities `(n, classes)`.

    Args:
        features: of the model, in order.
        columns: as `pilotage.core.features` gives them.
        predictions: as categories are spelt, numbers in full.
        scores: of the rows.
        probabilities: None for regression.
        priorities: random numbers in [0, 1).
        ids: None where no row has one.
        times: datetime64[us] in UTC.
        truth: spelt like predictions.
    """
    import pyarrow as pa

    rows = len(scores)
    shares = pa.nulls(rows, pa.list_(pa.float64()))
    if probabilities is not None:
        offsets = pa.array(np.arange(rows + 1) * probabilities.shape[1], pa.int32())
        shares = pa.ListArray.from_arrays(offsets, pa.array(probabilities.ravel(), pa.float64()))
    instants = pa.nulls(rows, pa.timestamp("us", "UTC"))
    if times is not None:
        instants = pa.array(times.astype("datetime64[us]"), pa.timestamp("us")).cast(
            pa.timestamp("us", "UTC")
        )
    struct = pa.StructArray.from_arrays(
        [_field(feature, columns[feature.name]) for feature in features],
        fields=[pa.field(feature.name, _type(feature.kind)) for feature in features],
    )
    return pa.table(
        {
            "id": pa.array(ids, pa.string()) if ids is not None else pa.nulls(rows, pa.string()),
            "time": instants,
            "priority": pa.array(priorities, pa.float64()),
            "prediction": pa.array(predictions, pa.string()),
            "score": pa.array(scores, pa.float64()),
            "probabilities": shares,
            "truth": pa.array(truth, pa.string()) if truth is not None else pa.nulls(rows, pa.string()),
            "features": struct,
        }
    )


def _type(kind: FeatureKind) -> pa.DataType:
    import pyarrow as pa

    if kind is FeatureKind.CATEGORY or kind in EMBEDDED:
        return pa.string()
    return pa.timestamp("us") if kind is FeatureKind.TIME else pa.float64()


def _field(feature: Feature, values: npt.NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    if feature.kind is FeatureKind.IMAGE:
        return pa.nulls(len(values), pa.string())  # a sample must stay small
    if feature.kind is FeatureKind.TEXT:
        values = np.array([value and value[:MOST_CHARACTERS] for value in [*values.tolist(), None]])[:-1]
    return pa.array(values, _type(feature.kind), from_pandas=True)  # NaN and NaT are null


def write(sample: pa.Table, path: Path) -> None:
    """Write a sample as a Parquet file, all or nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(sample, sink, compression="zstd")
    storage.write_file(path, sink.getvalue().to_pybytes())


def read(path: Path) -> pa.Table:
    """The sample in a Parquet file.

    Raises:
        DataError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            return pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise errors.DataError(
            f"`{path}` is not a sample of rows: {error}.", remedy="Restore the file, or train again."
        ) from error


def columns_of(sample: pa.Table, features: Sequence[Feature]) -> Columns:
    """The feature columns of a sample, as `pilotage.core.features` gives them.

    Raises:
        DataError: the sample lacks a feature, or has it as another kind.
    """
    import pyarrow as pa

    struct = sample.column("features").combine_chunks()
    if isinstance(struct, pa.ChunkedArray):
        struct = pa.concat_arrays(struct.chunks) if struct.num_chunks else pa.array([], struct.type)
    names = [struct.type.field(place).name for place in range(struct.type.num_fields)]
    table = pa.table(dict(zip(names, struct.flatten(), strict=True)))
    return feature_columns.from_table(features, table)


def smallest(samples: Sequence[pa.Table], rows: int) -> pa.Table:
    """The `rows` rows with the smallest priorities of a non-empty series of samples, by priority.

    A sample that left rows out knows from which priority on; of several, only what lies below that
    of each is a sample of all, however unlike the traffic of replicas was. Fewer than `rows` rows come
    back where a sample was kept smaller. Associative and commutative as far as priorities differ.
    """
    import pyarrow as pa

    below = min(complete_below(sample) for sample in samples)
    together = pa.concat_tables(samples, promote_options="permissive")
    priorities = together.column("priority").to_numpy()
    order = np.argsort(priorities, kind="stable")
    order = order[: np.searchsorted(priorities[order], below)]
    if len(order) > rows:
        below = float(priorities[order[rows]])
    return bounded(together.take(pa.array(order[:rows])), below)


def bounded(sample: pa.Table, below: float) -> pa.Table:
    """The sample with the word that it holds every row with a priority below `below`."""
    metadata = {**(sample.schema.metadata or {}), _BELOW: repr(below).encode()}
    return sample.replace_schema_metadata(metadata)


def complete_below(sample: pa.Table) -> float:
    """Below which priority a sample holds every row; 1 when it left none out."""
    return float((sample.schema.metadata or {}).get(_BELOW, 1.0))
