"""Takes out of installed packages what no container of Pilotage ever loads; reasons stand beside the names.

Wheels bring their tests, headers for compilers, and libraries for other languages. What is listed is held
against the server by a test that builds the image and has it answer over every protocol. A pattern that
matches nothing is an error where its package is installed: it would be a saving that somebody believes in.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

UNUSED: dict[str, tuple[str, ...]] = {
    "numpy": (
        "numpy/**/tests",
        "numpy/_core/include",
        "numpy/_core/lib/*.a",
        "numpy/random/lib",
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
        # A protocol of its own, which nothing of ours speaks.
        "pyarrow/libarrow_flight.so*",
        "pyarrow/libarrow_python_flight.so*",
        "pyarrow/_flight.*.so",
        # The same file three times, for there are no links in wheels; what loads it asks for `.so.MAJOR`.
        "pyarrow/libarrow_python.so",
        "pyarrow/libarrow_python.so.*.*.*",
        "pyarrow/libarrow_python_parquet_encryption.so",
        "pyarrow/libarrow_python_parquet_encryption.so.*.*.*",
    ),
    "onnxruntime": (
        "onnxruntime/capi/libonnxruntime.so.*",  # for programs in C; Python's module holds all of it again
        "onnxruntime/tools",
        "onnxruntime/datasets",
    ),
    "pygments": ("pygments/lexers",),  # colours for source code in a terminal's tracebacks
}
MAKING_GRAPHS = ("onnxruntime/transformers", "onnxruntime/quantization")
"""Unused where no graph is made: `pilotage shrink`, which has `onnx`, writes some in 8 bits."""
SERVICES = ("s3", "s3control", "sso", "sso-oidc", "sts", "signin")
"""AWS services that object storage and signing in are about."""

LEAST_SAVING = 100_000
"""Bytes; less is not worth a file that debuggers know less of."""


def slim(site_packages: Path) -> None:
    """Remove what is listed."""
    made_elsewhere = () if (site_packages / "onnx").is_dir() else MAKING_GRAPHS
    for package, patterns in {**UNUSED, "onnxruntime": UNUSED["onnxruntime"] + made_elsewhere}.items():
        if not (site_packages / package).is_dir():
            continue
        for pattern in patterns:
            found = sorted(site_packages.glob(pattern))
            if not found:
                raise SystemExit(f"`{pattern}` is not in {package} any more: correct infra/images/slim.py.")
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _without_services(site_packages / "botocore" / "data")
    strip(site_packages)


def _without_services(data: Path) -> None:
    """Leave of botocore's descriptions of services those that are used."""
    for path in data.glob("*"):
        if path.is_dir() and path.name not in SERVICES:
            shutil.rmtree(path)


def strip(site_packages: Path) -> None:
    """Cut symbols and debugging information off compiled modules, which loading them does not read."""
    for path in sorted(site_packages.rglob("*.so*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            end = _loaded_end(content)
            if end is not None and len(content) - end >= LEAST_SAVING:
                path.write_bytes(_without_sections(content)[:end])


def _loaded_end(content: bytes) -> int | None:
    """Where the last segment of a 64-bit ELF file ends; None for any other file.

    A loader reads the segments; what follows them are sections for linkers and debuggers.
    """
    if content[:6] != b"\x7fELF\x02\x01":
        return None
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    ends: list[int] = [table + size * count]
    for number in range(count):
        offset, _, _, length = struct.unpack_from("<QQQQ", content, table + number * size + 8)
        ends.append(offset + length)
    return max(ends)


def _without_sections(content: bytes) -> bytes:
    """The file, its head saying that there is no table of sections."""
    head = bytearray(content[:64])
    struct.pack_into("<Q", head, 40, 0)
    struct.pack_into("<HHH", head, 58, 64, 0, 0)
    return bytes(head) + content[64:]


def keep_bytecode(site_packages: Path, used: set[str]) -> None:
    """Remove the bytecode of modules that are not `used`: they can be loaded still, only slower."""
    for path in site_packages.rglob("__pycache__/*.pyc"):
        if str(path.parent.parent / f"{path.name.split('.')[0]}.py") not in used:
            path.unlink()
    for folder in site_packages.rglob("__pycache__"):
        if not any(folder.iterdir()):
            folder.rmdir()
