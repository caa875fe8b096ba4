"""Takes out of installed packages what no container of Pilotage ever loads; the reasons stand beside the names.

Wheels bring their tests, headers for compilers, and libraries for other languages. What is listed is held
against the server by a test that builds the image and has it answer over every protocol. A pattern that
matches nothing is an error where its package is installed: it would be a saving that somebody believes in.
"""

from __future__ import annotations

import shutil
from pathlib import Path

UNUSED: dict[str, tuple[str, ...]] = {
    "numpy": (
        "numpy/**/tests",
        "numpy/_core/include",
        "numpy/_core/lib/*.a",
        "numpy/random/lib",
        "numpy/f2py",
    ),
    "scipy": ("scipy/**/tests",),
    "sklearn": ("sklearn/**/tests",),
    "pandas": ("pandas/tests",),
    "pyarrow": (
        "pyarrow/tests",
        "pyarrow/include",  # for compilers, as the next ones
        "pyarrow/src",
        "pyarrow/includes",
        "pyarrow/*.pxi",
        "pyarrow/*.pyx",
        # Flight is a protocol of its own and Substrait a language of query plans; nothing of ours speaks either.
        "pyarrow/libarrow_flight.so*",
        "pyarrow/libarrow_python_flight.so*",
        "pyarrow/_flight.*.so",
        "pyarrow/libarrow_substrait.so*",
        "pyarrow/_substrait.*.so",
        # The same file three times, for there are no links in wheels; what loads it asks for `.so.MAJOR`.
        "pyarrow/libarrow_python.so",
        "pyarrow/libarrow_python.so.*.*.*",
        "pyarrow/libarrow_python_parquet_encryption.so",
        "pyarrow/libarrow_python_parquet_encryption.so.*.*.*",
    ),
    "onnxruntime": (
        "onnxruntime/capi/libonnxruntime.so.*",  # for programs in C; Python's module holds all of it again
        "onnxruntime/transformers",  # these four make graphs, which are made where models are trained
        "onnxruntime/quantization",
        "onnxruntime/tools",
        "onnxruntime/datasets",
    ),
    "botocore": (),  # see _without_services
}
SERVICES = ("s3", "s3control", "sso", "sso-oidc", "sts", "signin")
"""AWS services that object storage and signing in are about."""


def slim(site_packages: Path) -> None:
    """Remove what is listed."""
    for package, patterns in UNUSED.items():
        if not (site_packages / package).is_dir():
            continue
        for pattern in patterns:
            found = sorted(site_packages.glob(pattern))
            if not found:
                raise SystemExit(f"`{pattern}` is not in {package} any more: correct infra/images/slim.py.")
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _without_services(site_packages / "botocore" / "data")


def _without_services(data: Path) -> None:
    """Leave of botocore's descriptions of services those that are used."""
    for path in data.glob("*"):
        if path.is_dir() and path.name not in SERVICES:
            shutil.rmtree(path)
