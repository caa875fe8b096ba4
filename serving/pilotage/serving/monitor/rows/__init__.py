"""Whole rows of a window beside those of the reference: as numbers, told apart, weighted."""
