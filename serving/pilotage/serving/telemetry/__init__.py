"""What the server tells of itself to those who operate it."""

from __future__ import annotations
