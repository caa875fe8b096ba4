"""What asks for retraining, and what holds it back: alarms, the clock, budgets, quiet hours."""

from __future__ import annotations
