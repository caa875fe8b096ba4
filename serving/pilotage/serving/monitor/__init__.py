"""Watches what a pilot serves: windows against the reference, labels against predictions.

`watches.watch` judges closed windows and stores reports with their alarms, and `watches.reports`
reads them; `tables.compare` holds two tables beside each other without a pilot. Nothing is
imported here, so that who compares tables does not load what judges a model.
"""
