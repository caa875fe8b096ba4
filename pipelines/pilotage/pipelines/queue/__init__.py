"""Runs that somebody asked for, until one process has taken each of them, exactly once."""

from __future__ import annotations
