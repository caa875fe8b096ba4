"""How steps of a pipeline are carried out on this machine: warm processes, forked children, and the cache."""

from __future__ import annotations
