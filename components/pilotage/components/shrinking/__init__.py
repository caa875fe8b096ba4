"""Smaller models made of a version: how each comes about, and what it is measured by.

A candidate is a pipeline of the encoding and a graph, or a built-in estimator fitted on fewer
features, so it is stored, judged, signed and served as any version. What is left out is
chosen on training rows alone; the held-out rows only judge, as they judge every version.
Studies, the registry and who may ask are not known here.
"""
