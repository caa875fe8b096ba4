"""The door to PyTorch: imported on use, held to a number of threads, on a device that is there.

Nothing about models is known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from pilotage.core import errors

EXTRA = 'pip install "pilotage[deep]"'


class Device(StrEnum):
    """Where a network is trained."""

    AUTO = "auto"
    """A GPU where there is one."""
    CPU = "cpu"
    CUDA = "cuda"


def load(what: str) -> Any:
    """PyTorch, for `what` needs it.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise errors.MissingExtra(f"{what} needs PyTorch: {error}.", remedy=f"`{EXTRA}`.") from error
    return torch


def device(asked: str, what: str) -> str:
    """`cpu` or `cuda`, as `asked` for.

    Raises:
        EstimatorError: it is none of `Device`, or a GPU that is not there.
    """
    if asked not in set(Device):
        raise errors.EstimatorError(
            f"`device` of {what} is {asked!r}, expected one of {', '.join(Device)}.",
            remedy="Correct `train.params`.",
        )
    found = bool(load(what).cuda.is_available())
    if asked == Device.CUDA and not found:
        raise errors.EstimatorError(
            f"{what} is to be trained on a GPU, and PyTorch sees none here.",
            remedy="Train on a machine with one and a CUDA build of PyTorch; or take `train.resources.gpu`"
            " and `train.params.device` out of pilot.yaml.",
        )
    return Device.CUDA.value if found and asked != Device.CPU else Device.CPU.value


@contextmanager
def seeded(what: str, seed: int, threads: int) -> Iterator[Any]:
    """PyTorch whose random numbers begin at `seed` and which takes `threads` threads; then as it was."""
    torch = load(what)
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield torch
        finally:
            torch.set_num_threads(before)
