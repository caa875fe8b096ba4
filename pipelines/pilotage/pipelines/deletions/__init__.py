"""Deletes data for good: what is older than a pilot keeps it, and what holds a key that is to be forgotten.

Counts of windows are kept by both: they hold no row and no id. What is said of a deletion is in the
table `deletions` and in the audit, with keyed hashes in the place of keys.
"""
