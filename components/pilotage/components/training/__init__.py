"""Estimators, the search for their parameters, and the reference profile of what they saw."""
