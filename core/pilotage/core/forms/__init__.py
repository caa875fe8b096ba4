"""Inference forms: a version's model as tables and a graph, answered with NumPy and onnxruntime alone.

A form is what `pilotage.components.compilation` made of the trained model and
found to agree with it. Whatever does not fit (another model's form, a graph
that was changed) is not used and the trained model answers. Nothing is compiled
here, and neither scikit-learn nor pandas is needed.
"""

from __future__ import annotations

from pilotage.core.forms.predictors import FOLDER, GRAPH, FormPredictor, open_form

__all__ = ["FOLDER", "GRAPH", "FormPredictor", "open_form"]
