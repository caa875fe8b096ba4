"""The network that `mlp` trains: how it is built, one pass over its batches, its weights taken out.

Small functions without a loop over epochs, so that one process and several that
share the work train with the same steps. When to stop is `networks`' question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.training.deep import torches

Floats = npt.NDArray[np.float32]
State = dict[str, npt.NDArray[Any]]
Batch = tuple[Floats, npt.NDArray[Any]]
"""Inputs, shape `(n, inputs)`, and targets: int64 classes from 0, or float32 numbers, shape `(n,)`."""

WHAT = "`mlp`"


@dataclass(frozen=True)
class Shape:
    """How large a network is."""

    inputs: int
    outputs: int
    """Classes, or 1 for a number."""
    hidden: int
    """Neurons of each hidden layer."""
    layers: int
    """Hidden layers; with none the network is a linear model."""
    dropout: float = 0.0


def build(shape: Shape) -> Any:
    """A new `torch.nn.Sequential`; its weights are drawn with PyTorch's random numbers."""
    nn = torches.load(WHAT).nn
    parts: list[Any] = []
    width = shape.inputs
    for _ in range(shape.layers):
        parts += [nn.Linear(width, shape.hidden), nn.ReLU(), nn.Dropout(shape.dropout)]
        width = shape.hidden
    return nn.Sequential(*parts, nn.Linear(width, shape.outputs))


def loss(classes: int) -> Callable[[Any, Any], Any]:
    """Mean cross-entropy of a classifier's outputs, or mean squared error for no `classes`."""
    functional = torches.load(WHAT).nn.functional
    if classes:
        return functional.cross_entropy  # type: ignore[no-any-return]

    def squared(outputs: Any, targets: Any) -> Any:
        return functional.mse_loss(outputs[:, 0], targets)

    return squared


def optimizer(module: Any, *, learning_rate: float, weight_decay: float) -> Any:
    """AdamW (Loshchilov and Hutter, 2019); biases are not decayed."""
    torch = torches.load(WHAT)
    named = list(module.named_parameters())
    groups = [
        {"params": [value for name, value in named if not name.endswith("bias")]},
        {"params": [value for name, value in named if name.endswith("bias")], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)


def batches(x: Floats, y: npt.NDArray[Any], size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """The rows in a new random order, cut into batches of `size`."""
    order = rng.permutation(len(x))
    for begin in range(0, len(order), size):
        part = order[begin : begin + size]
        yield x[part], y[part]


def train_epoch(
    module: Any,
    step: Any,
    parts: Iterable[Batch],
    measure: Callable[[Any, Any], Any],
    *,
    clip: float = 1.0,
) -> float:
    """One pass over the batches `parts`; the mean loss of a row, weights as they were at its batch.

    Args:
        module: of `build`, or a wrapper of it that averages gradients over processes.
        step: of `optimizer`.
        parts: as `batches` gives them.
        measure: of `loss`.
        clip: largest norm of a gradient.
    """
    torch = torches.load(WHAT)
    module.train()
    total, rows = 0.0, 0
    where = next(module.parameters()).device
    for x, y in parts:
        step.zero_grad(set_to_none=True)
        found = measure(module(torch.from_numpy(x).to(where)), torch.from_numpy(y).to(where))
        found.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
        step.step()
        total, rows = total + float(found.detach()) * len(x), rows + len(x)
    return total / max(rows, 1)


def judge(module: Any, x: Floats, y: npt.NDArray[Any], measure: Callable[[Any, Any], Any]) -> float:
    """The mean loss of rows that are not trained on."""
    torch = torches.load(WHAT)
    module.eval()
    where = next(module.parameters()).device
    with torch.inference_mode():
        return float(measure(module(torch.from_numpy(x).to(where)), torch.from_numpy(y).to(where)))


def state(module: Any) -> State:
    """The weights as arrays by name, copied."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}
