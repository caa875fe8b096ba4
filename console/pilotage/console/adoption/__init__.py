"""A pilot from a notebook or a script, by reading it: nothing of it is ever executed.

`notebooks` reads cells, `statements` orders them and follows data flow, `constants` works out what
is written down, `tracing` finds table, features and target, `estimators` and `scorings` the
model and its measure, `analyses` puts them together and `writing` writes the pilot.
"""
