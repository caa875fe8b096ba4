"""Fine-tuning: the last layers of a sentence encoder learn with a pilot's own rows what matters in them.

A linear head is trained with them and thrown away; what is kept is the encoder. Some of
the training rows are set aside and say when to stop. Held-out rows are never seen.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.training.deep import modules, networks, sentences, torches
from pilotage.components.training.deep.networks import Targets
from pilotage.core import errors
from pilotage.core.specs import Encoder

logger = logging.getLogger(__name__)

_BATCH = 16
_ASIDE = 0.15
_HEAD_FASTER = 20.0
"""The head learns so many times faster than the layers, which are good already."""
_PATIENCE = 2
_FEWEST = 20


def tune(
    model: Any, texts: npt.NDArray[Any], targets: Targets, wanted: Encoder, *, seed: int, threads: int
) -> None:
    """Train the last layers of a loaded sentence encoder, in place.

    Args:
        model: of `sentences.load`.
        texts: of the training rows, None where missing.
        targets: of the same rows.
        wanted: how many layers, how long and how fast.
        seed: for the head's weights and the order of rows.
        threads: that PyTorch may take.

    Raises:
        EstimatorError: there are too few texts, or the model has no layers that are found.
    """
    there = sentences.readable(texts)
    if len(there) < _FEWEST:
        raise errors.EstimatorError(
            f"`fine_tune` needs at least {_FEWEST} texts, the training rows have {len(there)}.",
            remedy="Leave it out: the encoder is used as it is.",
        )
    values = targets.values[there]
    kept = Targets(values, targets.classes, targets.mean, targets.scale)
    with torches.seeded(sentences.WHAT, seed, threads) as torch:
        tuned = _unfrozen(model, wanted.tuned_layers)
        head = torch.nn.Linear(int(model.get_embedding_dimension()), targets.outputs)
        step = torch.optim.AdamW(
            [
                {"params": tuned, "lr": wanted.learning_rate},
                {"params": list(head.parameters()), "lr": wanted.learning_rate * _HEAD_FASTER},
            ],
            weight_decay=0.01,
        )
        ids = [item.ids for item in _tokens(model, texts[there].tolist())]
        _train(torch, model, head, step, ids, kept, wanted, seed)
    model.eval()


def _unfrozen(model: Any, count: int) -> list[Any]:
    """The parameters of the last `count` layers, which alone are trained from here on."""
    torch = torches.load(sentences.WHAT)
    lists = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) > 1]
    if not lists:
        raise errors.EstimatorError(
            "The encoder has no layers one after the other, so its last ones cannot be fine-tuned.",
            remedy="Leave `fine_tune` out.",
        )
    layers = max(lists, key=len)
    for value in model.parameters():
        value.requires_grad_(False)
    tuned = [value for layer in list(layers)[-count:] for value in layer.parameters()]
    for value in tuned:
        value.requires_grad_(True)
    return tuned


def _tokens(model: Any, texts: list[str]) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(sentences.tokenizer_of(model).to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(int(model.max_seq_length))
    return tokenizer.encode_batch(texts)


def _train(
    torch: Any,
    model: Any,
    head: Any,
    step: Any,
    ids: list[list[int]],
    kept: Targets,
    wanted: Encoder,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    aside = networks.rows_aside(kept, _ASIDE, rng)
    inside, outside = np.flatnonzero(~aside), np.flatnonzero(aside)
    measure = modules.loss(0 if kept.classes is None else kept.outputs)
    best, since, state = np.inf, 0, None
    for epoch in range(1, wanted.epochs + 1):
        model.train()
        for begin in range(0, len(order := rng.permutation(inside)), _BATCH):
            rows = order[begin : begin + _BATCH]
            step.zero_grad(set_to_none=True)
            measure(
                head(_vectors(torch, model, [ids[row] for row in rows])), _targets(torch, kept, rows)
            ).backward()
            step.step()
        if not len(outside):
            continue
        found = _judge(torch, model, head, measure, ids, kept, outside)
        logger.info("fine-tuning: loss %.4f of rows aside after epoch %d", found, epoch)
        since += 1
        if found < best:
            best, since = found, 0
            state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        if since >= _PATIENCE:
            break
    if state is not None:
        model.load_state_dict(state)


def _judge(
    torch: Any, model: Any, head: Any, measure: Any, ids: list[list[int]], kept: Targets, rows: Any
) -> float:
    model.eval()
    total = 0.0
    with torch.no_grad():
        for begin in range(0, len(rows), _BATCH):
            part = rows[begin : begin + _BATCH]
            found = measure(
                head(_vectors(torch, model, [ids[row] for row in part])), _targets(torch, kept, part)
            )
            total += float(found) * len(part)
    return total / len(rows)


def _targets(torch: Any, kept: Targets, rows: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(kept.values[rows]))


def _vectors(torch: Any, model: Any, ids: list[list[int]]) -> Any:
    longest = max(map(len, ids))
    given = torch.zeros((len(ids), longest), dtype=torch.long)
    mask = torch.zeros_like(given)
    for row, one in enumerate(ids):
        given[row, : len(one)] = torch.tensor(one)
        mask[row, : len(one)] = 1
    return model({"input_ids": given, "attention_mask": mask})["sentence_embedding"]
