"""Gradient boosting that workers do together: each holds its rows, all grow the same trees.

Workers exchange sums over their rows, by XGBoost's and LightGBM's own networks, so that every one ends with
the same model; the first one's is kept. Its state goes to the storage now and then, and who begins again
begins there. The estimators are the same as in one process, fitted by their own `fit`.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from sklearn.base import clone
from sklearn.preprocessing import LabelEncoder

from pilotage.components.distributed.checkpoints import Checkpoint
from pilotage.components.distributed.shards import Share
from pilotage.core.encoders import LabelEncoded
from pilotage.core.specs import Estimator

CHECKPOINTS = 10
"""How often the state is kept on the way."""
_LISTEN_MINUTES = 2
_NO_NETWORK = {
    "tree_learner": "serial",
    "pre_partition": "0",
    "num_machines": "1",
    "machines": "",
    "local_listen_port": "12400",
    "time_out": "120",
}
"""What LightGBM writes into a model that one process trained."""
_TRACKERS: list[Any] = []
"""Of the worker that the others of XGBoost's network report to; it lives as long as its process."""


@dataclass(frozen=True)
class Network:
    """How the workers of one attempt reach each other."""

    family: Estimator
    tracker: dict[str, Any] | None = None
    """What XGBoost's tracker says that its workers need to know."""
    machines: tuple[tuple[str, int], ...] = ()
    """Host and port of each worker; XGBoost's tell each other, and of PyTorch's only the first counts."""


def start_tracker(host: str, workers: int) -> dict[str, Any]:
    """In the first worker: the tracker of XGBoost's network; returns what workers need to reach it."""
    from xgboost.tracker import RabitTracker

    for old in _TRACKERS:
        old.free()
    _TRACKERS[:] = [RabitTracker(n_workers=workers, host_ip=host, sortby="task")]
    _TRACKERS[0].start()
    return dict(_TRACKERS[0].worker_args())


def free_port(host: str) -> int:
    """In each worker: a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def fit(share: Share, network: Network) -> Any:
    """In each worker at the same time: the fitted model; only the first worker returns it."""
    dataset = share.read()
    matrix = share.encoder.transform(dataset.frame())
    fitted = _fit(share, network, matrix, dataset.target)
    return fitted if share.rank == 0 else None


def _fit(share: Share, network: Network, matrix: Any, target: npt.NDArray[Any]) -> Any:
    """As `LabelEncoded.fit` where the model is one, with the parts around its inner `fit` made explicit."""
    model = clone(share.model)
    if not isinstance(model, LabelEncoded):
        return _fit_inner(share, network, model, matrix, target)
    model.encoder_ = LabelEncoder().fit(target)
    model.classes_ = model.encoder_.classes_
    inner = clone(model.estimator)
    model.estimator_ = _fit_inner(share, network, inner, matrix, model.encoder_.transform(target))
    return model


def _fit_inner(share: Share, network: Network, model: Any, matrix: Any, target: Any) -> Any:
    start = share.checkpoints.latest()
    before = 0 if start is None else start.step
    params = model.get_params()
    rounds = _rounds(model, network.family)
    every = max(1, math.ceil(rounds / CHECKPOINTS))

    def keep(done: int, state: Callable[[], bytes]) -> None:
        if share.rank == 0 and done % every == 0 and done < rounds:
            share.checkpoints.keep(Checkpoint(done, state()))

    model.set_params(n_estimators=max(rounds - before, 0), n_jobs=_threads())
    family = _fit_xgboost if network.family is Estimator.XGBOOST else _fit_lightgbm
    family(share, network, model, matrix, target, start, keep)
    changed = {name: params[name] for name in ("n_estimators", "n_jobs")}
    return model.set_params(**changed)


def _rounds(model: Any, family: Estimator) -> int:
    return int(model.get_num_boosting_rounds() if family is Estimator.XGBOOST else model.n_estimators)


def _threads() -> int:
    """What Ray gave this worker, which it says by OMP_NUM_THREADS."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(stated)) if stated.isdigit() else 1


_Keep = Callable[[int, Callable[[], bytes]], None]


def _fit_xgboost(
    share: Share,
    network: Network,
    model: Any,
    matrix: Any,
    target: Any,
    start: Checkpoint | None,
    keep: _Keep,
) -> None:
    from xgboost import Booster
    from xgboost.callback import TrainingCallback
    from xgboost.collective import CommunicatorContext

    class Keeping(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            done = model.num_boosted_rounds()
            keep(done, lambda: bytes(model.save_raw("ubj")))
            return False

    before = None if start is None else Booster(model_file=bytearray(start.state))
    with CommunicatorContext(**(network.tracker or {}), dmlc_task_id=f"{share.rank:08}"):
        model.set_params(callbacks=[Keeping()])
        model.fit(matrix, target, xgb_model=before, verbose=False)
    model.set_params(callbacks=None)


def _fit_lightgbm(
    share: Share,
    network: Network,
    model: Any,
    matrix: Any,
    target: Any,
    start: Checkpoint | None,
    keep: _Keep,
) -> None:
    import lightgbm

    before = None if start is None else lightgbm.Booster(model_str=start.state.decode())

    def keeping(environment: Any) -> None:
        booster = environment.model
        keep(environment.iteration + 1, lambda: booster.model_to_string(num_iteration=-1).encode())

    wanted = model.get_params().get("tree_learner", "data")
    apart = {
        "tree_learner": "data" if wanted == "serial" else wanted,
        "pre_partition": True,
        "num_machines": share.workers,
        "machines": ",".join(f"{host}:{port}" for host, port in network.machines),
        "local_listen_port": network.machines[share.rank][1],
        "time_out": _LISTEN_MINUTES,
    }
    stated = model.get_params()
    model.set_params(**apart)
    model.fit(matrix, target, init_model=before, callbacks=[keeping])
    model._Booster = lightgbm.Booster(model_str=_alone(model.booster_.model_to_string(num_iteration=-1)))
    for name in set(apart) - set(stated):
        model._other_params.pop(name)
        delattr(model, name)
    model.set_params(**{name: stated[name] for name in set(apart) & set(stated)})


def _alone(text: str) -> str:
    """LightGBM's model without what its parameters say of this network."""
    for name, value in _NO_NETWORK.items():
        text = re.sub(rf"(?m)^\[{name}: .*\]$", f"[{name}: {value}]", text)
    return text
