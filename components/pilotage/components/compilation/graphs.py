"""Tables of an estimator as an ONNX graph in double precision, or in single for who wants it smaller.

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


def graph(part: Ensemble | Linear | Layers, width: int, outputs: int, *, single: bool = False) -> bytes:
    """The serialised graph from `(n, width)` to `(n, outputs)`; `single` is in 32 bits throughout.

    Thresholds are then rounded so that values which fit 32 bits go the way that they went.
    """
    kind: Any = np.float32 if single else np.float64
    if isinstance(part, Linear):
        return model(*_linear(part, kind), width, outputs, single=single)
    if isinstance(part, Layers):
        return model(*_layers(part, kind), width, outputs, single=single)
    if part.trees[0].values.shape[1] == 1:
        return model([_ensemble(part, outputs, kind)], [], width, outputs, single=single)
    nodes = _forest(part, outputs, single=single)
    return model(nodes, [], width, outputs, single=single, trees=_WITH_REGRESSOR)


def model(
    nodes: list[Any],
    constants: list[Any],
    width: int,
    outputs: int,
    *,
    single: bool,
    trees: int = _WITH_ENSEMBLE,
) -> bytes:
    """A serialised model of `nodes` from `INPUT` to `OUTPUT` with `constants` as initializers."""
    kind = TensorProto.FLOAT if single else TensorProto.DOUBLE
    body = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info(INPUT, kind, [None, width])],
        [helper.make_tensor_value_info(OUTPUT, kind, [None, outputs])],
        constants,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", trees)]
    made: ModelProto = helper.make_model(body, opset_imports=opsets, ir_version=_IR, producer_name="pilotage")
    return bytes(made.SerializeToString())


def _linear(part: Linear, kind: Any) -> tuple[list[Any], list[Any]]:
    weights = numpy_helper.from_array(np.ascontiguousarray(part.coefficients, dtype=kind), "weights")
    return [helper.make_node("MatMul", [INPUT, "weights"], [OUTPUT])], [weights]


def _layers(part: Layers, kind: Any) -> tuple[list[Any], list[Any]]:
    nodes: list[Any] = []
    constants: list[Any] = []
    given = INPUT
    for place, weight in enumerate(part.weights):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(weight, dtype=kind), f"weights{place}"))
        if place == len(part.biases):
            nodes.append(helper.make_node("MatMul", [given, f"weights{place}"], [OUTPUT]))
            break
        constants.append(numpy_helper.from_array(part.biases[place].astype(kind), f"bias{place}"))
        nodes += [
            helper.make_node("MatMul", [given, f"weights{place}"], [f"product{place}"]),
            helper.make_node("Add", [f"product{place}", f"bias{place}"], [f"sum{place}"]),
            helper.make_node("Relu", [f"sum{place}"], [f"hidden{place}"]),
        ]
        given = f"hidden{place}"
    return nodes, constants


def round_thresholds(thresholds: Any, *, strict: bool) -> Any:
    """Thresholds in 32 bits that part all values of 32 bits as before: rounded down, or up where `strict`."""
    rounded = thresholds.astype(np.float32)
    beyond = rounded < thresholds if strict else rounded > thresholds
    towards = np.float32(np.inf if strict else -np.inf)
    return np.where(beyond, np.nextafter(rounded, towards), rounded)


def _ensemble(part: Ensemble, outputs: int, kind: Any) -> Any:
    """`TreeEnsemble`, the one operator that sums in double precision; a leaf has one value."""
    columns: dict[str, list[Any]] = {key: [] for key in _COLUMNS}
    roots, inner, leaves = [], 0, 0
    for tree in part.trees:
        roots.append(inner)
        inner, leaves = _add(columns, _rooted(tree), inner, leaves)
    joined = {key: np.concatenate(found) for key, found in columns.items()}
    modes = np.full(inner, _LT if part.strict else _LEQ, dtype=np.uint8)
    if kind is np.float32:
        joined["nodes_splits"] = round_thresholds(joined["nodes_splits"], strict=part.strict)
        joined["leaf_weights"] = joined["leaf_weights"].astype(np.float32)
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


def _forest(part: Ensemble, outputs: int, *, single: bool) -> list[Any]:
    """`TreeEnsembleRegressor`, whose leaves may have several values; it sums in double, gives single."""
    sizes = [tree.leaf.size for tree in part.trees]
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    nodes = np.concatenate([np.arange(size) for size in sizes])
    leaf = _joined(part, "leaf")
    less = "BRANCH_LT" if part.strict else "BRANCH_LEQ"
    modes = ["LEAF" if end else less for end in leaf.tolist()]
    values = np.concatenate([tree.values for tree in part.trees])[leaf].reshape(-1)
    thresholds = _joined(part, "threshold")
    numbered: dict[str, Any] = {
        "nodes_values_as_tensor": numpy_helper.from_array(thresholds),
        "target_weights_as_tensor": numpy_helper.from_array(values),
    }
    if single:  # whose inputs are in 32 bits takes lists in place of tensors
        rounded = round_thresholds(thresholds, strict=part.strict)
        numbered = {"nodes_values": rounded.tolist(), "target_weights": values.tolist()}

    def of_inner(name: str) -> list[int]:
        return np.where(leaf, 0, _joined(part, name)).astype(np.int64).tolist()  # type: ignore[no-any-return]

    trees = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        [OUTPUT if single else "sum"],
        domain="ai.onnx.ml",
        n_targets=outputs,
        nodes_treeids=numbers.tolist(),
        nodes_nodeids=nodes.tolist(),
        nodes_featureids=of_inner("feature"),
        nodes_truenodeids=of_inner("left"),
        nodes_falsenodeids=of_inner("right"),
        nodes_missing_value_tracks_true=of_inner("missing_left"),
        nodes_modes=modes,
        target_treeids=np.repeat(numbers[leaf], outputs).tolist(),
        target_nodeids=np.repeat(nodes[leaf], outputs).tolist(),
        target_ids=np.tile(np.arange(outputs), int(leaf.sum())).tolist(),
        **numbered,
    )
    return [trees] if single else [trees, helper.make_node("Cast", ["sum"], [OUTPUT], to=TensorProto.DOUBLE)]


def _joined(part: Ensemble, name: str) -> Any:
    return np.concatenate([getattr(tree, name) for tree in part.trees])
