"""Forecasts: what more data, or a bigger model, would bring, from what smaller ones gave.

`points` reads measurements; `families` and `curves` forecast learning curves, `laws` fits the scaling law of
model size and data; `times` says how long training takes; `plots` draws. How the measurements come about, and
what they mean for a pilot, is not known here.
"""
