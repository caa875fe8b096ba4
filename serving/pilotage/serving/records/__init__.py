"""What was served, written beside the requests: windows, the row log, labels."""

from __future__ import annotations
