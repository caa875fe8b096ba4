"""What became of versions in production: windows, drift, alarms, and the value they brought."""

from __future__ import annotations
