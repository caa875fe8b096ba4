"""The network of `mlp` trained by workers together: PyTorch's DistributedDataParallel over gloo.

Each worker has its rows and takes its share of every batch; gradients are averaged, so all hold the same
weights. Steps, losses and when to stop are `training.deep`'s; what is new here is only that sums go over all
workers. The order of rows depends on seed, worker and epoch alone, so that training goes on from a checkpoint
as if it had not been stopped.
"""

from __future__ import annotations

import io
import itertools
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from sklearn.base import clone

from pilotage.components.distributed.boosters import Network
from pilotage.components.distributed.checkpoints import Checkpoint
from pilotage.components.distributed.shards import Share
from pilotage.components.training.deep import modules, networks, torches
from pilotage.components.training.deep.modules import State
from pilotage.components.training.deep.networks import Targets
from pilotage.core import errors

logger = logging.getLogger(__name__)

EVERY = 5
"""Epochs from one checkpoint to the next."""
_PATIENCE = timedelta(minutes=10)
_MOST_GAIN = 1e-4


@dataclass
class _Course:
    """How far training is."""

    epoch: int = 0
    best: float = float("inf")
    since: int = 0
    kept: State = field(default_factory=dict)


def fit(share: Share, network: Network) -> Any:
    """In each worker at the same time: the stored network; only the first worker returns it."""
    dataset = share.read()
    x = np.ascontiguousarray(share.encoder.transform(dataset.frame()), dtype=np.float32)
    model = clone(share.model)
    with ExitStack() as stack:
        torch = stack.enter_context(torches.seeded(modules.WHAT, share.seed, max(int(model.n_jobs), 1)))
        stack.enter_context(_connected(torch, share, network))
        targets = _targets(torch, type(model)._targets(dataset.target), dataset.target)
        weights = _train(torch, share, model, x, targets)
    return networks.finished(weights, targets) if share.rank == 0 else None


@contextmanager
def _connected(torch: Any, share: Share, network: Network) -> Iterator[None]:
    host, port = network.machines[0]
    torch.distributed.init_process_group(
        "gloo", f"tcp://{host}:{port}", timeout=_PATIENCE, rank=share.rank, world_size=share.workers
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _targets(torch: Any, mine: Targets, y: Any) -> Targets:
    """Numbers centred and scaled by all workers' rows, not by one's own; classes as they are."""
    if mine.classes is not None:
        return mine
    numbers = np.asarray(y, dtype=np.float64)
    rows, total = _summed(torch, len(numbers), numbers.sum())
    (squares,) = _summed(torch, ((numbers - total / rows) ** 2).sum())
    mean, scale = total / rows, float(np.sqrt(squares / rows)) or 1.0
    return Targets(((numbers - mean) / scale).astype(np.float32), mean=mean, scale=scale)


def _summed(torch: Any, *values: float) -> tuple[float, ...]:
    """Each value's sum over all workers."""
    held = torch.tensor(values, dtype=torch.float64)
    torch.distributed.all_reduce(held)
    return tuple(held.tolist())


def _least(torch: Any, value: int) -> int:
    held = torch.tensor([value])
    torch.distributed.all_reduce(held, op=torch.distributed.ReduceOp.MIN)
    return int(held.item())


def _train(torch: Any, share: Share, model: Any, x: modules.Floats, targets: Targets) -> State:
    """The weights at the epoch that was best for the rows that all workers put aside."""
    rng = np.random.default_rng([share.seed, share.rank])
    aside = networks.rows_aside(targets, float(model.validation), rng)
    if _least(torch, int(aside.sum())) == 0:
        aside[:] = False
    inside, y = ~aside, targets.values
    batch = max(1, int(model.batch_size) // share.workers)
    where = torches.device(str(model.device), modules.WHAT)
    module = modules.build(model.shape(x.shape[1], targets.outputs)).to(where)
    measure = modules.loss(0 if targets.classes is None else targets.outputs)
    step = modules.optimizer(
        module, learning_rate=float(model.learning_rate), weight_decay=float(model.weight_decay)
    )
    course = _resume(torch, share, module, step)
    joined = torch.nn.parallel.DistributedDataParallel(module)
    steps = _least(torch, -(-int(inside.sum()) // batch))
    while course.epoch < int(model.epochs) and course.since < int(model.patience):
        course.epoch += 1
        order = np.random.default_rng([share.seed, share.rank, course.epoch])
        parts = itertools.islice(modules.batches(x[inside], y[inside], batch, order), steps)
        found = modules.train_epoch(joined, step, parts, measure)
        _require_number(found, course.epoch)
        mine = modules.judge(module, x[aside], y[aside], measure) * int(aside.sum()) if aside.any() else 0.0
        lost, rows = _summed(torch, mine, int(aside.sum()))
        _judge(course, module, lost / rows if rows else None)
        if share.rank == 0 and course.epoch % EVERY == 0:
            share.checkpoints.keep(Checkpoint(course.epoch, _state(torch, module, step, course)))
    return course.kept


def _judge(course: _Course, module: Any, found: float | None) -> None:
    """Keep the weights of the best epoch; those of the last one where no rows say which is best."""
    if found is None:
        course.kept = modules.state(module)
        return
    course.since += 1
    if found < course.best * (1 - _MOST_GAIN):
        course.best, course.kept, course.since = found, modules.state(module), 0


def _require_number(found: float, epoch: int) -> None:
    if not np.isfinite(found):
        raise errors.EstimatorError(
            f"The loss of `mlp` was {found} in epoch {epoch}.", remedy="Lower `train.params.learning_rate`."
        )


def _state(torch: Any, module: Any, step: Any, course: _Course) -> bytes:
    buffer = io.BytesIO()
    kept = {name: torch.from_numpy(value) for name, value in course.kept.items()}
    told = {"epoch": course.epoch, "best": course.best, "since": course.since, "kept": kept}
    torch.save({**told, "module": module.state_dict(), "optimizer": step.state_dict()}, buffer)
    return buffer.getvalue()


def _resume(torch: Any, share: Share, module: Any, step: Any) -> _Course:
    start = share.checkpoints.latest()
    if start is None:
        return _Course()
    found = torch.load(io.BytesIO(start.state), map_location="cpu", weights_only=True)
    module.load_state_dict(found["module"])
    step.load_state_dict(found["optimizer"])
    kept = {name: value.numpy() for name, value in found["kept"].items()}
    return _Course(found["epoch"], found["best"], found["since"], kept)
