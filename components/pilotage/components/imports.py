"""What each step imports, named where it can be read without importing any of it."""

from __future__ import annotations

from collections.abc import Mapping

IMPORTS: Mapping[str, tuple[str, ...]] = {
    "ingest": ("polars", "pyarrow.parquet", "pilotage.components.ingest"),
    "validate": ("polars", "pyarrow.parquet", "pilotage.components.validate"),
    "train": ("pilotage.core.safes", "mlflow", "pilotage.components.train"),
    "evaluate": ("pilotage.core.safes", "pilotage.components.evaluate"),
    "register": ("pilotage.core.safes", "mlflow", "onnxruntime", "pilotage.components.register"),
    "score": ("onnxruntime", "pyarrow.parquet", "pilotage.components.score"),
}
"""By step, its own module last: libraries that a step imports on use are named too."""
