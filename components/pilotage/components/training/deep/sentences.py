"""Sentence encoders: loaded with sentence-transformers, fine-tuned, and exported as graph and tokenizer.

An export that does not give the vectors of its model is refused. What runs it afterwards
is `pilotage.core.embeddings`.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.components.training.deep import torches
from pilotage.core import errors
from pilotage.core.artifacts import TextEncoder
from pilotage.core.embeddings import encoders, folders, texts

logger = logging.getLogger(__name__)

WHAT = "A text column"
TOLERANCE = 1e-5
"""Between a vector of the export and the model's; both compute in 32 bits."""
_PROBES = ("A short sentence.", "Ein längerer Satz, mit Umlauten: äöü, 漢字 and 🙂.", "word " * 400, "?")
_OPSET = 17
_MOST_TOKENS = 512
"""Where a model does not say how many it reads."""


def load(place: Path, most_tokens: int | None) -> Any:
    """The `SentenceTransformer` in a folder, on the processor.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        EstimatorError: it cannot be loaded.
    """
    torches.load(WHAT)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise errors.MissingExtra(f"{WHAT} needs {error}.", remedy=f"`{torches.EXTRA}`.") from error
    with _quiet():
        try:
            model = SentenceTransformer(
                str(place),
                device="cpu",
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "attn_implementation": "eager"},
            )
        except Exception as error:  # the libraries raise whatever they meet
            raise errors.EstimatorError(
                f"The sentence encoder in `{place}` cannot be loaded: {type(error).__name__}: {error}.",
                remedy="Name another encoder under `train.encoders`.",
            ) from error
    own = model.max_seq_length or _MOST_TOKENS
    if most_tokens is not None and most_tokens > own:
        raise errors.EstimatorError(
            f"`most_tokens` is {most_tokens}, and the encoder in `{place}` reads at most {own}.",
            remedy="Lower it, or leave it out.",
        )
    model.max_seq_length = most_tokens or own
    return model.eval()


def export(model: Any, name: str, *, tuned: bool = False) -> tuple[TextEncoder, dict[str, bytes]]:
    """Description and files of the encoder that a loaded model becomes.

    Raises:
        EstimatorError: it cannot be exported, or the export gives other vectors.
    """
    graph, tokenizer = _graph(model), _tokenizer(model)
    width = int(np.asarray(model.encode(["width"], show_progress_bar=False)).shape[1])
    about = TextEncoder(
        name=name,
        width=width,
        graph=folders.digest_of(graph),
        tokenizer=folders.digest_of(tokenizer),
        most_tokens=int(model.max_seq_length),
        tuned=tuned,
    )
    files = {folders.GRAPH: graph, folders.TOKENIZER: tokenizer}
    _require_equal(model, about, files)
    return about, files


def tokenizer_of(model: Any) -> Any:
    """The tokenizer of the `tokenizers` library inside a loaded model.

    Raises:
        EstimatorError: it has none.
    """
    inner = getattr(model.tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise errors.EstimatorError(
            "The encoder's tokenizer exists in Python only, which a model server cannot run.",
            remedy="Take an encoder with a `tokenizer.json`.",
        )
    return inner


def _tokenizer(model: Any) -> bytes:
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer_of(model).to_str())
    copy.no_padding()
    copy.enable_truncation(int(model.max_seq_length))
    return str(copy.to_str()).encode()


def _graph(model: Any) -> bytes:
    """The model as ONNX: from the tokens of one text, shape `(1, tokens)`, to its vector, `(1, width)`."""
    torch = torches.load(WHAT)

    class OneText(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any) -> Any:
            given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return self.model(given)["sentence_embedding"]

    out = io.BytesIO()
    with _quiet(), torch.inference_mode():
        try:
            torch.onnx.export(
                OneText().eval(),
                (torch.tensor([[1, 2, 3, 4, 5]], dtype=torch.long),),
                out,
                input_names=["ids"],
                output_names=["vector"],
                dynamic_axes={"ids": {1: "tokens"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        except Exception as error:  # the exporter raises whatever it meets
            raise errors.EstimatorError(
                f"The encoder cannot be exported to ONNX: {type(error).__name__}: {error}.",
                remedy="Take another encoder.",
            ) from error
    return out.getvalue()


def _require_equal(model: Any, about: TextEncoder, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="pilotage-encoder-") as scratch:
        place = Path(scratch)
        for name, content in files.items():
            (place / name).write_bytes(content)
        about.write(place)
        made = encoders.Embedding(about.content_digest, place)
        found = made.vectors(np.array(_PROBES, dtype=object))
    with _quiet():
        wanted = np.asarray(
            model.encode(list(_PROBES), batch_size=1, show_progress_bar=False), dtype=np.float64
        )
    apart = float(np.abs(found - wanted).max())
    if not apart <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise errors.EstimatorError(
            f"The exported encoder's vectors differ from the model's by {apart:.2g}.",
            remedy="Take another encoder.",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps still what the libraries say on every load and export; what fails, raises."""
    names = ("transformers", "sentence_transformers", "torch.onnx", "huggingface_hub")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils import logging as bars

    bars.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def readable(values: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where there is a text to read."""
    says: Sequence[bool] = [value is not None and texts.Reader.says(value) for value in values.tolist()]
    return np.flatnonzero(says)
