"""The versions that serve: loading them, following the registry, choosing between them."""

from __future__ import annotations
