"""Which feature each column of an encoded matrix comes from, so that contributions can be summed by feature.

Only encodings of single features are known; where columns of several features
meet, as in a kernel map, there is no owner and None says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder

Owners = tuple[str, ...]


def find(encoder: Any, names: Sequence[str]) -> Owners | None:
    """Owners of the columns that the fitted `encoder` makes of columns that `names` own; None if unknown."""
    from sklearn.base import OneToOneFeatureMixin
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    from pilotage.core.encoders import TimeParts

    if encoder is None or encoder == "passthrough" or _is_identity(encoder):
        return tuple(names)
    if isinstance(encoder, Pipeline):
        return _through([step for _, step in encoder.steps], names)
    if isinstance(encoder, ColumnTransformer):
        return _of_transformers(encoder, names)
    if isinstance(encoder, TimeParts):
        parts = len(encoder.get_feature_names_out()) // len(names)
        return tuple(chain.from_iterable(repeat(name, parts) for name in names))
    if isinstance(encoder, OneHotEncoder):
        return tuple(
            chain.from_iterable(
                repeat(name, width) for name, width in zip(names, _widths(encoder), strict=True)
            )
        )
    if isinstance(encoder, (OneToOneFeatureMixin, SimpleImputer)):
        same = len(encoder.get_feature_names_out()) == len(names)
        return tuple(names) if same else None
    return None


def _is_identity(encoder: Any) -> bool:
    """Whether it is what a fitted ColumnTransformer makes of "passthrough"."""
    from sklearn.preprocessing import FunctionTransformer

    return isinstance(encoder, FunctionTransformer) and encoder.func is None


def _through(steps: Sequence[Any], names: Sequence[str]) -> Owners | None:
    found: Owners | None = tuple(names)
    for step in steps:
        if found is None:
            return None
        found = find(step, found)
    return found


def _of_transformers(encoder: ColumnTransformer, names: Sequence[str]) -> Owners | None:
    """Owners of the parts in the order of the output; parts without output are left out."""
    owners: dict[int, str] = {}
    for part, transformer, columns in encoder.transformers_:
        place = encoder.output_indices_[part]
        if place.start == place.stop:
            continue
        chosen = _chosen(columns, names)
        found = None if chosen is None else find(transformer, chosen)
        if found is None or len(found) != place.stop - place.start:
            return None
        owners.update(zip(range(place.start, place.stop), found, strict=True))
    return tuple(owners[position] for position in sorted(owners))


def _chosen(columns: Any, names: Sequence[str]) -> list[str] | None:
    if isinstance(columns, (str, int)):
        columns = [columns]
    try:
        found = [column if isinstance(column, str) else names[column] for column in columns]
    except (TypeError, IndexError):
        return None
    return found if set(found) <= set(names) else None


def _widths(encoder: OneHotEncoder) -> list[int]:
    """Columns of each feature: its categories, the rare ones together, without one that is dropped."""
    rare = getattr(encoder, "infrequent_categories_", None) or repeat(None)
    dropped = encoder.drop_idx_ if encoder.drop_idx_ is not None else repeat(None)
    return [
        len(categories) - (0 if few is None else len(few) - 1) - (drop is not None)
        for categories, few, drop in zip(encoder.categories_, rare, dropped, strict=False)
    ]
