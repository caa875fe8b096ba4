"""Personal data on its way from a source into a snapshot: found, counted, and replaced.

What it looks like and what takes its place is `pilotage.core.personal`'s.
"""
