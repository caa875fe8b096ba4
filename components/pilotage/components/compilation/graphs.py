"""Tables of an estimator as an ONNX graph in double precision.

The graph gives raw sums: no class labels, no maps, no probabilities computed in
single precision. onnxruntime loads and runs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from pilotage.components.compilation.estimators import Ensemble, Layers, Linear, Tree

INPUT, OUTPUT = "x", "y"
_IR, _OPSET = 10, 21
_WITH_ENSEMBLE, _WITH_REGRESSOR = 5, 3
"""Versions of ONNX's operators for trees; the later one has no leaves with several values."""
_LEQ, _LT = 0, 1
_SUM, _NO_TRANSFORM = 1, 0


def graph(part: Ensemble | Linear | Layers, width: int, outputs: int) -> bytes:
    """The serialised graph from `(n, width)` to `(n, outputs)`."""
    if isinstance(part, Linear):
        return _model(*_linear(part), width, outputs)
    if isinstance(part, Layers):
        return _model(*_layers(part), width, outputs)
    if part.trees[0].values.shape[1] == 1:
        return _model([_ensemble(part, outputs)], [], width, outputs)
    return _model(_forest(part, outputs), [], width, outputs, _WITH_REGRESSOR)


def _model(
    nodes: list[Any], constants: list[Any], width: int, outputs: int, trees: int = _WITH_ENSEMBLE
) -> bytes:
    body = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [None, outputs])],
        constants,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", trees)]
    made: ModelProto = helper.make_model(body, opset_imports=opsets, ir_version=_IR, producer_name="pilotage")
    return bytes(made.SerializeToString())


def _linear(part: Linear) -> tuple[list[Any], list[Any]]:
    weights = numpy_helper.from_array(np.ascontiguousarray(part.coefficients), "weights")
    return [helper.make_node("MatMul", [INPUT, "weights"], [OUTPUT])], [weights]


def _layers(part: Layers) -> tuple[list[Any], list[Any]]:
    nodes: list[Any] = []
    constants: list[Any] = []
    given = INPUT
    for place, weight in enumerate(part.weights):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(weight), f"weights{place}"))
        if place == len(part.biases):
            nodes.append(helper.make_node("MatMul", [given, f"weights{place}"], [OUTPUT]))
            break
        constants.append(numpy_helper.from_array(part.biases[place], f"bias{place}"))
        nodes += [
            helper.make_node("MatMul", [given, f"weights{place}"], [f"product{place}"]),
            helper.make_node("Add", [f"product{place}", f"bias{place}"], [f"sum{place}"]),
            helper.make_node("Relu", [f"sum{place}"], [f"hidden{place}"]),
        ]
        given = f"hidden{place}"
    return nodes, constants


def _ensemble(part: Ensemble, outputs: int) -> Any:
    """`TreeEnsemble`, the one operator that sums in double precision; a leaf has one value."""
    columns: dict[str, list[Any]] = {key: [] for key in _COLUMNS}
    roots, inner, leaves = [], 0, 0
    for tree in part.trees:
        roots.append(inner)
        inner, leaves = _add(columns, _rooted(tree), inner, leaves)
    joined = {key: np.concatenate(found) for key, found in columns.items()}
    modes = np.full(inner, _LT if part.strict else _LEQ, dtype=np.uint8)
    return helper.make_node(
        "TreeEnsemble",
        [INPUT],
        [OUTPUT],
        domain="ai.onnx.ml",
        n_targets=outputs,
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=roots,
        nodes_modes=numpy_helper.from_array(modes),
        nodes_splits=numpy_helper.from_array(joined.pop("nodes_splits")),
        leaf_weights=numpy_helper.from_array(joined.pop("leaf_weights")),
        **{key: found.tolist() for key, found in joined.items()},
    )


_COLUMNS = (
    "nodes_featureids",
    "nodes_splits",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_trueleafs",
    "nodes_falseleafs",
    "nodes_missing_value_tracks_true",
    "leaf_targetids",
    "leaf_weights",
)


def _add(columns: dict[str, list[Any]], tree: Tree, inner: int, leaves: int) -> tuple[int, int]:
    """Append a tree; its inner nodes count from `inner`, its leaves from `leaves`."""
    split = ~tree.leaf
    place = np.where(tree.leaf, leaves - 1 + np.cumsum(tree.leaf), inner - 1 + np.cumsum(split))
    left, right = tree.left[split], tree.right[split]
    values = tree.values[tree.leaf, 0]
    for key, found in (
        ("nodes_featureids", tree.feature[split]),
        ("nodes_splits", tree.threshold[split]),
        ("nodes_truenodeids", place[left]),
        ("nodes_falsenodeids", place[right]),
        ("nodes_trueleafs", tree.leaf[left].astype(np.int64)),
        ("nodes_falseleafs", tree.leaf[right].astype(np.int64)),
        ("nodes_missing_value_tracks_true", tree.missing_left[split].astype(np.int64)),
        ("leaf_targetids", np.full(values.size, tree.target)),
        ("leaf_weights", values),
    ):
        columns[key].append(found)
    return inner + int(split.sum()), leaves + values.size


def _rooted(tree: Tree) -> Tree:
    """`tree`, or for one that is a single leaf a split whose both sides are that leaf's value."""
    if not tree.leaf[0]:
        return tree
    return Tree(
        feature=np.zeros(3, dtype=np.int64),
        threshold=np.zeros(3),
        left=np.array([1, 0, 0]),
        right=np.array([2, 0, 0]),
        missing_left=np.zeros(3, dtype=bool),
        leaf=np.array([False, True, True]),
        values=np.repeat(tree.values[:1], 3, axis=0),
        target=tree.target,
    )


def _forest(part: Ensemble, outputs: int) -> list[Any]:
    """`TreeEnsembleRegressor`, whose leaves may have several values; it sums in double, gives single."""
    sizes = [tree.leaf.size for tree in part.trees]
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    nodes = np.concatenate([np.arange(size) for size in sizes])
    leaf = _joined(part, "leaf")
    less = "BRANCH_LT" if part.strict else "BRANCH_LEQ"
    modes = ["LEAF" if end else less for end in leaf.tolist()]
    values = np.concatenate([tree.values for tree in part.trees])[leaf]

    def of_inner(name: str) -> list[int]:
        return np.where(leaf, 0, _joined(part, name)).astype(np.int64).tolist()  # type: ignore[no-any-return]

    trees = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=outputs,
        nodes_treeids=numbers.tolist(),
        nodes_nodeids=nodes.tolist(),
        nodes_featureids=of_inner("feature"),
        nodes_truenodeids=of_inner("left"),
        nodes_falsenodeids=of_inner("right"),
        nodes_missing_value_tracks_true=of_inner("missing_left"),
        nodes_modes=modes,
        nodes_values_as_tensor=numpy_helper.from_array(_joined(part, "threshold")),
        target_treeids=np.repeat(numbers[leaf], outputs).tolist(),
        target_nodeids=np.repeat(nodes[leaf], outputs).tolist(),
        target_ids=np.tile(np.arange(outputs), int(leaf.sum())).tolist(),
        target_weights_as_tensor=numpy_helper.from_array(values.reshape(-1)),
    )
    return [trees, helper.make_node("Cast", ["sum"], [OUTPUT], to=TensorProto.DOUBLE)]


def _joined(part: Ensemble, name: str) -> Any:
    return np.concatenate([getattr(tree, name) for tree in part.trees])
