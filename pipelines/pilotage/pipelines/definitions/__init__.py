"""The pipelines, in the words of kfp: what is compiled, and what its steps need on a cluster."""

from __future__ import annotations
