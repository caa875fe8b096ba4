"""Personal data: what it looks like, and what takes its place.

Training and serving treat values by the same code, so that a model is asked what it was
trained on. Tables and requests are not known here.
"""
