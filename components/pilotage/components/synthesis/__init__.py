"""Synthetic rows: made from training rows, measured against them, and seen by training alone."""
