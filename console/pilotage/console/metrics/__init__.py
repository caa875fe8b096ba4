"""What the console tells Prometheus of the installation and of itself."""

from __future__ import annotations
