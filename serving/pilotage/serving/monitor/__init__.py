"""Watches what a pilot serves: windows against the reference, labels against predictions.

`watch` judges closed windows and stores reports with their alarms; `reports` reads them.
"""

from __future__ import annotations

from pilotage.serving.monitor.watches import reports, watch

__all__ = ["reports", "watch"]
