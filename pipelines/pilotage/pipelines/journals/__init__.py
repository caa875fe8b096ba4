"""What happened, as rows that are written while it happens; nothing here decides what follows."""

from __future__ import annotations
