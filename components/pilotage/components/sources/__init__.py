"""Where rows come from: files, a database, or a function of the pilot.

Every source gives batches of rows as it finds them; what their columns mean is
decided by ingest. Importing this package loads no table library.
"""

from __future__ import annotations

from pilotage.components.sources.fingerprints import fingerprint

__all__ = ["fingerprint"]
