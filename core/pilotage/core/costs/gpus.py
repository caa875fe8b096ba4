"""Which GPUs processes hold, without any library of a GPU.

A GPU is taken up, and paid for, while a process has it open, whether it computes or waits.
How busy it is, and what it draws, is not known here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

_DEVICES = Path("/dev")
_DEVICE = re.compile(r"nvidia\d+|dri/renderD\d+")
_MODELS = Path("/proc/driver/nvidia/gpus")


def held(pids: Iterable[int] = (), devices: Path = _DEVICES) -> frozenset[str]:
    """Names of the GPUs that processes hold, this one where none are named."""
    if not _any(devices):
        return frozenset()
    found = set()
    for pid in list(pids) or [os.getpid()]:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError, ValueError):
                    found.add(str(descriptor.readlink().relative_to(devices)))
    return frozenset(name for name in found if _DEVICE.fullmatch(name))


@cache
def _any(devices: Path) -> bool:
    """Whether the machine has one; most have none, and processes are looked at often."""
    return any(devices.glob("nvidia[0-9]*")) or any(devices.glob("dri/renderD*"))


@cache
def model() -> str:
    """Type of this machine's first GPU; empty where its driver does not say."""
    for file in sorted(_MODELS.glob("*/information")):
        with suppress(OSError):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, value = line.partition(":")
                if name.strip() == "Model":
                    return value.strip()
    return ""
