"""A real but tiny sentence encoder and backbone, made here, so that tests take seconds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

WORDS = [
    "the",
    "a",
    "is",
    "not",
    "good",
    "bad",
    "service",
    "slow",
    "quick",
    "room",
    "was",
    "very",
    "and",
    "food",
]


def sentence_model(folder: Path) -> Path:
    """A BERT of two layers and 32 numbers with a vocabulary of its own, saved by sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers import models as token_models
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = Tokenizer(
        token_models.WordLevel({word: place for place, word in enumerate(vocabulary)}, "[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    inner = folder / "inner"
    BertModel(config).save_pretrained(inner)
    fast.save_pretrained(inner)
    word = modules.Transformer(str(inner), max_seq_length=32)
    made = SentenceTransformer(modules=[word, modules.Pooling(32)], device="cpu")
    made.save(str(folder / "model"))
    return folder / "model"


def texts_and_labels(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Sentences that are `good` when they say good or quick, else `bad`; every word's order is random."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(rows):
        good = rng.random() < 0.5
        words = [*rng.choice(["the", "a", "was", "very", "and", "room", "food", "service"], 4)]
        words.insert(int(rng.integers(5)), str(rng.choice(["good", "quick"] if good else ["bad", "slow"])))
        texts.append(" ".join(words))
        labels.append("good" if good else "bad")
    return np.array(texts, dtype=object), np.array(labels, dtype=object)


def scans() -> tuple[Any, Any]:
    """Scikit-learn's digits, each somewhere on a page of 14 x 14, and which digit it is."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pages = np.zeros((len(found.images), 14, 14))
    corners = np.random.default_rng(0).integers(0, 7, (len(pages), 2))
    for page, image, (top, left) in zip(pages, found.images, corners, strict=True):
        page[top : top + 8, left : left + 8] = image
    return pages, found.target


def backbone(path: Path) -> Path:
    """A small convolutional network that learned to tell the digits 0 to 4 apart, without its last layer.

    The other five digits are left for transfer.
    """
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    pages, digits = scans()
    known = digits < 5
    x = torch.tensor(pages[known, np.newaxis] / 16.0, dtype=torch.float32)
    y = torch.tensor(digits[known], dtype=torch.long)
    nn = torch.nn
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
    )  # fmt: skip
    head = nn.Linear(64, 5)
    step = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(6):
        for part in torch.randperm(len(x)).split(32):
            step.zero_grad()
            nn.functional.cross_entropy(head(body(x[part])), y[part]).backward()
            step.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            body.eval(),
            (x[:1],),
            str(path),
            input_names=["pixels"],
            output_names=["features"],
            opset_version=17,
            dynamo=False,
        )
    return path


def png(pixels: Any) -> bytes:
    """A grey image from numbers between 0 and 16, as PNG."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray((np.asarray(pixels) / 16 * 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()
