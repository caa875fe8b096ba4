"""What proves to others how a version came about: the audit, dossiers, and exports that hold no secret."""

from __future__ import annotations
