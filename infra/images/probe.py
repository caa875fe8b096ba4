"""Which modules a model server loads, found by loading them: those get bytecode in its image.

The libraries that it talks to MLflow with are many times larger than what it uses of them. A module that is
missed here is compiled in memory where it is loaded, which costs its start milliseconds and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import sys

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import pilotage.core
import pilotage.serving

ON_USE = (
    "boto3.s3.transfer",
    "cryptography.x509",
    "google.protobuf.message_factory",
    "jwt.algorithms",
    "mlflow.artifacts",
    "mlflow.entities",
    "mlflow.store.artifact.mlflow_artifacts_repo",
    "mlflow.store.artifact.models_artifact_repo",
    "mlflow.store.artifact.s3_artifact_repo",
    "mlflow.store.model_registry.rest_store",
    "mlflow.tracking.client",
    "model_signing.verifying",
    "onnxruntime",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk.trace.export",
    "pyarrow.compute",
    "pyarrow.parquet",
    "s3fs",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
"""What functions of ours import, and what is imported by name."""
LEFT_OUT = ("pilotage.serving.monitor",)


def main() -> None:
    """Print a file a line."""
    for package in (pilotage.core, pilotage.serving):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and not module.name.startswith(LEFT_OUT):
                with contextlib.suppress(ModuleNotFoundError):  # what this image's versions do without
                    importlib.import_module(module.name)
    for name in ON_USE:
        importlib.import_module(name)
    found = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    sys.stdout.write("\n".join(sorted(found)))


main()
