"""The demonstration: the whole loop on a year of real flights, with real processes and nothing staged.

`story` tells it; the other modules land data, replay traffic, watch and count.
"""
