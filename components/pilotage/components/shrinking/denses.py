"""Graphs of matrix products in 8 bits, and the graph of a network with one hidden layer.

Weights alone in 8 bits make a graph smaller and leave its sums in 32 bits. With products in 8 bits, too,
onnxruntime's quantizers scale what comes in between: static ones by ranges that training rows had;
dynamic ones by the range of the batch at hand, so that a row's answer depends on the rows beside it.
Whether a candidate may do that is the judges' question.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from pilotage.components.compilation import graphs
from pilotage.core import errors

FEWEST_WEIGHTS = 64
"""A smaller matrix stays as it is: what describes it in 8 bits takes as much."""
CALIBRATION_ROWS = 1000
FARTHEST = 1000.0
"""Standard deviations from the mean, which inputs of networks are scaled by."""
_PRODUCTS = ("MatMul", "Gemm")
_INT8 = 127


def has_products(graph: bytes) -> bool:
    """Whether a graph multiplies with a matrix that is worth to be written in 8 bits."""
    model = onnx.load_from_string(graph)
    return bool(_weights(model))


def int8_weights(graph: bytes) -> bytes:
    """The graph with its matrices in 8 bits, scaled by column, and its sums in 32 bits.

    Raises:
        EstimatorError: it has no such matrix.
    """
    model = onnx.load_from_string(graph)
    found = _weights(model)
    if not found:
        raise errors.EstimatorError("The graph multiplies with no matrix in 32 bits.")
    kept = [item for item in model.graph.initializer if item.name not in found]
    unpacked = []
    for name, matrix in found.items():
        scale = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny) / _INT8
        whole = np.clip(np.rint(matrix / scale), -_INT8, _INT8).astype(np.int8)
        kept += [
            numpy_helper.from_array(whole, f"{name}_int8"),
            numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"),
        ]
        unpacked.append(
            helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=1)
        )
    nodes = [*unpacked, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def int8_static(graph: bytes, matrix: npt.NDArray[Any]) -> bytes:
    """The graph with products in 8 bits, scaled by the ranges that rows of the encoded `matrix` have.

    Raises:
        EstimatorError: onnxruntime cannot quantize it.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    rows = matrix[np.linspace(0, len(matrix) - 1, min(len(matrix), CALIBRATION_ROWS)).astype(np.int64)]

    def quantize(source: Path, target: Path) -> None:
        quantize_static(
            source, target, _Rows(rows), quant_format=QuantFormat.QDQ, weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8, per_channel=True, op_types_to_quantize=list(_PRODUCTS),
        )  # fmt: skip

    return _quantized(graph, quantize)


def int8_dynamic(graph: bytes) -> bytes:
    """The graph with products in 8 bits, scaled by the range of each batch.

    Raises:
        EstimatorError: onnxruntime cannot quantize it.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    def quantize(source: Path, target: Path) -> None:
        quantize_dynamic(
            source, target, op_types_to_quantize=list(_PRODUCTS), per_channel=True,
            weight_type=QuantType.QInt8,
        )  # fmt: skip

    return _quantized(graph, quantize)


class _Rows:
    """What onnxruntime's calibration asks for rows."""

    def __init__(self, rows: npt.NDArray[Any]) -> None:
        self._batches: Iterator[dict[str, Any]] = iter([{graphs.INPUT: rows.astype(np.float32)}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """It has one batch only."""


def _quantized(graph: bytes, quantize: Callable[[Path, Path], None]) -> bytes:
    logger = logging.getLogger()
    level = logger.level
    with tempfile.TemporaryDirectory(prefix="pilotage-quantize-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of advice to prepare a graph that needs none
        source, target = Path(scratch) / "source.onnx", Path(scratch) / "target.onnx"
        source.write_bytes(graph)
        logger.setLevel(logging.ERROR)  # the same advice, through the root logger
        try:
            quantize(source, target)
            return target.read_bytes()
        except Exception as error:  # it raises whatever its parts meet
            raise errors.EstimatorError(
                f"onnxruntime cannot quantize the graph: {type(error).__name__}: {error}."
            ) from error
        finally:
            logger.setLevel(level)


def _weights(model: Any) -> dict[str, npt.NDArray[Any]]:
    """Matrices in 32 bits that a product has as its second factor, each by its name."""
    multiplied = {
        node.input[1]
        for node in model.graph.node
        if node.op_type in _PRODUCTS and not any(item.name == "transB" and item.i for item in node.attribute)
    }
    found = {
        item.name: numpy_helper.to_array(item) for item in model.graph.initializer if item.name in multiplied
    }
    return {
        name: matrix
        for name, matrix in found.items()
        if matrix.ndim == 2 and matrix.dtype == np.float32 and matrix.size >= FEWEST_WEIGHTS
    }


def network(
    first: npt.NDArray[Any], offset: npt.NDArray[Any], second: npt.NDArray[Any], shift: npt.NDArray[Any]
) -> bytes:
    """The graph of `max(x @ first + offset, 0) @ second + shift`, in 32 bits.

    Inputs are taken as at most `FARTHEST`, so that a number which is too large for 32 bits has an answer.
    """
    values: dict[str, Any] = {"least": -FARTHEST, "most": FARTHEST}
    values |= {"first": first, "offset": offset, "second": second, "shift": shift}
    constants = [
        numpy_helper.from_array(np.array(value, dtype=np.float32, order="C"), name)
        for name, value in values.items()
    ]
    nodes = [
        helper.make_node("Clip", [graphs.INPUT, "least", "most"], ["near"]),
        helper.make_node("MatMul", ["near", "first"], ["product"]),
        helper.make_node("Add", ["product", "offset"], ["moved"]),
        helper.make_node("Relu", ["moved"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["sum"]),
        helper.make_node("Add", ["sum", "shift"], [graphs.OUTPUT]),
    ]
    return graphs.model(nodes, constants, first.shape[0], second.shape[1], single=True)
