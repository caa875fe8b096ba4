"""From a decoded request to its prediction: the data plane and its batches."""

from __future__ import annotations
