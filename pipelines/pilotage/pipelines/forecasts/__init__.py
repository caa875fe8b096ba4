"""Forecasts of pilots: which trainings are tried, carrying them out as a study, and what their results
answer.

Fitting curves, and what given points say, is the work of `pilotage.components.forecasts`.
"""

from __future__ import annotations

from pilotage.pipelines.forecasts.answers import Answer, Document
from pilotage.pipelines.forecasts.plans import Options
from pilotage.pipelines.forecasts.work import PLOT, forecast, read

__all__ = ["PLOT", "Answer", "Document", "Options", "forecast", "read"]
