"""Suites, what they find, and how a snapshot differs from the one before."""
