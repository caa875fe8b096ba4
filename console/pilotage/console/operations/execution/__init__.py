"""Runs, what starts them, what they used and what they left behind."""

from __future__ import annotations
