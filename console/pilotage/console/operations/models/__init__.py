"""Versions of models: judged, decided on, released, and on their way to traffic."""

from __future__ import annotations
