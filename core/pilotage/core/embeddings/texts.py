"""From a text to the tokens that a sentence encoder takes. Languages and models are not known here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pilotage.core import errors
from pilotage.core.artifacts import TextEncoder

_CHARACTERS_PER_TOKEN = 200
"""A text is cut to so many characters for each token first, so that a book costs what a page does."""


class Reader:
    """Tokenizes for one encoder; for several threads."""

    def __init__(self, about: TextEncoder, tokenizer: Path) -> None:
        """Load the encoder's `tokenizer.json`.

        Raises:
            MissingExtra: `tokenizers` is not installed.
            DataError: the file is no tokenizer.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise errors.MissingExtra(
                f"Text columns need the package `tokenizers`: {error}.",
                remedy='`pip install "pilotage[encoders]"`, or take the image tagged `…-estimators`.',
                package="tokenizers",
            ) from error
        self._most = about.most_tokens
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer.read_text("utf-8"))
        except Exception as error:  # the library raises plain Exception
            raise errors.DataError(
                f"`{tokenizer}` is no tokenizer: {error}.", remedy="Train again."
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._most)

    @staticmethod
    def says(text: str) -> bool:
        """Whether there is anything but blanks in it."""
        return not (text == "" or text.isspace())

    def feed(self, text: str) -> dict[str, Any]:
        """What the graph takes for one text."""
        return {"ids": np.array([self._ids(text)], dtype=np.int64)}

    def is_cut(self, text: str) -> bool:
        """Whether the text goes on behind what is read."""
        if len(text) < self._most - 1:
            return False
        if len(text) > self._most * _CHARACTERS_PER_TOKEN:
            return True
        return bool(self._encode(text).overflowing)

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self._encode(text).ids
        return found

    def _encode(self, text: str) -> Any:
        whole = text[: self._most * _CHARACTERS_PER_TOKEN]
        return self._tokenizer.encode(whole.encode("utf-8", "replace").decode("utf-8"))
