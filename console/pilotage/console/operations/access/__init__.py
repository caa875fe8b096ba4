"""Who may sign in, with what, and which rights they have."""

from __future__ import annotations
