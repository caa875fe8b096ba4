"""What a version may take of the process's memory, and giving back what an unloaded one took.

A version is held to the bound twice: by the size of its files before it is
loaded, and by the growth of the process when it is warm. One is loaded at a
time, so that the growth is its own. What Python frees the C library keeps for
later; glibc is told to return it.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from pilotage.core import errors
from pilotage.core.settings import Settings

logger = logging.getLogger(__name__)

LoadedT = TypeVar("LoadedT")

_MB = 1024 * 1024
_SHARE = 0.9
_ATTEMPTS = 2
"""The first load of a process also grows it by the libraries that the model needs."""
_LOADING = threading.Lock()
_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Where the versions of Linux' control groups say the limit and the usage."""


def load_within(settings: Settings, what: str, folder: Path, load: Callable[[], LoadedT]) -> LoadedT:
    """What `load` gives, unless it takes more memory than a version may.

    Args:
        settings: `model_memory_mb` is the bound; 0 stands for 90 % of what is left.
        what: the version in words, for the error.
        folder: of its files.
        load: loads and warms it up.

    Raises:
        ModelTooLarge: its files, or what the process grew by, are beyond the bound; it is let go again.
    """
    with _LOADING:
        allowed = allowance(settings)
        size = files_bytes(folder)
        if size > allowed:
            raise _too_large(f"{what}: its files are", size, allowed, settings)
        for _ in range(_ATTEMPTS):
            before = resident_bytes()
            loaded = load()
            size = resident_bytes() - before
            if size <= allowed:
                return loaded
            del loaded
            release()
        raise _too_large(f"{what} takes", size, allowed, settings)


def _too_large(what: str, size: int, allowed: int, settings: Settings) -> errors.ModelTooLarge:
    limit = "PILOTAGE_MODEL_MEMORY_MB" if settings.model_memory_mb else "nine tenths of what is left"
    return errors.ModelTooLarge(
        f"{what} {size // _MB:,} MB, at most {allowed // _MB:,} MB are allowed ({limit}).",
        remedy="Train a smaller one, or raise PILOTAGE_MODEL_MEMORY_MB where there is memory.",
        bytes=size,
    )


def allowance(settings: Settings) -> int:
    """Bytes that one version may take."""
    if settings.model_memory_mb:
        return settings.model_memory_mb * _MB
    return int(left_bytes() * _SHARE)


def left_bytes() -> int:
    """Bytes that the machine, or the control group, has left."""
    found = [_available()]
    for group, limit, usage in _GROUPS:
        most, used = _number(group / limit), _number(group / usage)
        if most is not None and used is not None:
            found.append(most - used + _cached(group))
    return max(0, min(found))


def _cached(group: Path) -> int:
    """Bytes of the group's usage that are files the kernel keeps and can let go."""
    lines = (group / "memory.stat").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 1 << 62


def _number(path: Path) -> int | None:
    """The number in a file of the kernel's; None where there is none, or no limit."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def files_bytes(folder: Path) -> int:
    """Size of all files in a model folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _page_bytes()


@cache
def _page_bytes() -> int:
    import resource

    return resource.getpagesize()


def keep() -> None:
    """Let collections pass over what is there now, mostly libraries: they hold up every thread meanwhile.

    What nothing refers to is freed all the same, but for cycles in what is there.
    """
    gc.freeze()


def release() -> None:
    """Collect what nothing refers to and return its memory to the system."""
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; None elsewhere."""
    try:
        found: Callable[[int], int] = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None
    return found
