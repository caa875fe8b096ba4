"""KFP pipelines, the runners that execute them, and the records of what ran."""

from __future__ import annotations
