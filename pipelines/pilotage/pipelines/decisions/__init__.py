"""Which version is champion, by whose word, and how traffic is moved to it."""

from __future__ import annotations
