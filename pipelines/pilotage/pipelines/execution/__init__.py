"""Runs that are carried out, from the lock to the result."""

from __future__ import annotations
