"""The HTTP shell: application, routes, pages and the description of the API."""

from __future__ import annotations
