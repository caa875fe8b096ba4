"""Texts and images as vectors: the one way of it, for training and for serving.

A vector depends on its text or image alone and not on what else is asked for, so that
a row is answered alike alone and among others. How encoders are made is not known
here, nor is PyTorch: a graph runs in onnxruntime.
"""

from __future__ import annotations

from pilotage.core.embeddings.encoders import Embedding, embedding, open_all, uncached
from pilotage.core.embeddings.folders import describe, fetch, publish
from pilotage.core.embeddings.memories import remember

__all__ = ["Embedding", "describe", "embedding", "fetch", "open_all", "publish", "remember", "uncached"]
