"""Graphs loaded by onnxruntime, and what turns their outputs into probabilities.

Both who answers with a form and a stored model that is a graph itself need these. What
the columns of a graph's input are is not known here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core import errors

DOUBLE = "tensor(double)"
"""How onnxruntime calls the type of an input in 64 bits."""
_ERROR = 3
"""onnxruntime's level for messages; what it warns of when it loads a graph is not about the graph."""
_Numbers = npt.NDArray[np.float64]


def open_session(graph: bytes) -> Any:
    """An onnxruntime session on the calling thread, which keeps no memory between calls.

    Raises:
        DataError: onnxruntime cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = _ERROR
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise errors.DataError(f"onnxruntime cannot load `model.onnx`: {error}.") from error


def logistic(odds: _Numbers) -> _Numbers:
    """Probability for log odds, without overflow."""
    small = np.exp(-np.abs(odds))
    probability: _Numbers = np.where(odds >= 0, 1.0, small) / (1.0 + small)
    return probability


def softmax(outputs: _Numbers) -> _Numbers:
    """Probabilities for logarithms of shape `(n, classes)`, up to a constant a row."""
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    probabilities: _Numbers = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
