"""Ensembles of trees made smaller: fewer trees, merged leaves.

Leaves are merged by Ward's criterion (1963), as cost-complexity pruning (Breiman et al., 1984)
does with squared error: of all trees together the two sister leaves go first whose merging
changes the ensemble's sums least, over the training rows that reach them. No tree is grown.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pilotage.components.compilation.estimators import Body, Ensemble, Floats, Integers, Tree

_SWEEPS = 10
_SHRINK = 5.0
"""Rows that each leaf is taken to have beside its own, where nothing is left to explain."""


def rounds(ensemble: Ensemble, outputs: int) -> int:
    """How often all outputs get a tree."""
    each = 1 if ensemble.trees[0].values.shape[1] > 1 else outputs
    return max(len(ensemble.trees) // each, 1)


def leaves(ensemble: Ensemble) -> int:
    """Leaves of all trees together."""
    return sum(int(tree.leaf.sum()) for tree in ensemble.trees)


def keep_first(body: Body, count: int, *, averaged: bool) -> Body:
    """The first `count` rounds of trees; where trees are averaged, those that are left weigh more."""
    ensemble = _ensemble(body)
    outputs = body.base.size
    each = 1 if ensemble.trees[0].values.shape[1] > 1 else outputs
    kept = ensemble.trees[: count * each]
    if averaged:
        factor = len(ensemble.trees) / len(kept)
        kept = tuple(replace(tree, values=tree.values * factor) for tree in kept)
    return replace(body, part=replace(ensemble, trees=kept))


def merge_leaves(body: Body, matrix: Floats, share: float) -> Body:
    """Merge sister leaves until at most `share` of them is left; each tree keeps at least one.

    Args:
        body: of an ensemble.
        matrix: encoded training rows, which weigh the leaves.
        share: above 0.
    """
    ensemble = _ensemble(body)
    pruned = [
        _Pruned(tree, counts) for tree, counts in zip(ensemble.trees, _reached(ensemble, matrix), strict=True)
    ]
    heap = [(cost, number, node) for number, tree in enumerate(pruned) for cost, node in tree.mergeable()]
    heapq.heapify(heap)
    left = leaves(ensemble)
    wanted = max(int(left * share), len(pruned))
    while heap and left > wanted:
        _, number, node = heapq.heappop(heap)
        following = pruned[number].merge(node)
        left -= 1
        if following is not None:
            heapq.heappush(heap, (following[0], number, following[1]))
    return replace(body, part=replace(ensemble, trees=tuple(tree.tree() for tree in pruned)))


def settle(body: Body, matrix: Floats, sums: Floats) -> Body:
    """Move the values of the leaves so that an ensemble says again what it said before leaves were merged.

    Tree after tree, each leaf takes the mean of what is left to explain in the rows that reach it
    (backfitting; Breiman and Friedman, 1985). Trees that are left hold what merged leaves had told.

    Args:
        body: of an ensemble.
        matrix: encoded training rows.
        sums: what is to be said of them, base included, shape `(n, outputs)`.
    """
    ensemble = _ensemble(body)
    ends = [_ends(tree, matrix, strict=ensemble.strict) for tree in ensemble.trees]
    values = [tree.values.copy() for tree in ensemble.trees]
    rest = sums - body.base
    for tree, reached, told in zip(ensemble.trees, ends, values, strict=True):
        rest[:, _outputs(tree)] -= told[reached]
    weights = [
        np.bincount(reached, minlength=len(told)) + _SHRINK
        for reached, told in zip(ends, values, strict=True)
    ]
    for _ in range(_SWEEPS):
        for tree, reached, told, weight in zip(ensemble.trees, ends, values, weights, strict=True):
            here = _outputs(tree)
            for column, output in enumerate(range(here.start, here.stop)):
                moved = np.bincount(reached, rest[:, output], minlength=len(told)) / weight
                told[:, column] += moved
                rest[:, output] -= moved[reached]
    settled = tuple(replace(tree, values=told) for tree, told in zip(ensemble.trees, values, strict=True))
    return replace(body, part=replace(ensemble, trees=settled))


def _outputs(tree: Tree) -> slice:
    """The outputs that the columns of a tree's values are added to."""
    return slice(tree.target, tree.target + tree.values.shape[1])


class _Pruned:
    """A tree whose sister leaves become one."""

    def __init__(self, tree: Tree, counts: Integers) -> None:
        self._tree = tree
        self._leaf = tree.leaf.copy()
        self._values = tree.values.copy()
        self._counts = counts.astype(np.float64)
        self._parent = np.full(tree.leaf.size, -1)
        inner = np.flatnonzero(~tree.leaf)
        self._parent[tree.left[inner]] = inner
        self._parent[tree.right[inner]] = inner

    def mergeable(self) -> Iterator[tuple[float, int]]:
        """Nodes above two leaves, with what merging these costs."""
        for node in np.flatnonzero(~self._leaf).tolist():
            if self._leaf[self._tree.left[node]] and self._leaf[self._tree.right[node]]:
                yield self._cost(node), node

    def _cost(self, node: int) -> float:
        left, right = self._tree.left[node], self._tree.right[node]
        both = self._counts[left] + self._counts[right]
        if not both:
            return 0.0
        apart = float(np.square(self._values[left] - self._values[right]).sum())
        return float(self._counts[left] * self._counts[right] / both) * apart

    def merge(self, node: int) -> tuple[float, int] | None:
        """Make `node` a leaf; returns its parent with its cost if that is above two leaves now."""
        children = [self._tree.left[node], self._tree.right[node]]
        weights = self._counts[children]
        weights = weights if weights.any() else np.ones(2)
        self._values[node] = np.average(self._values[children], axis=0, weights=weights)
        self._counts[node] = self._counts[children].sum()
        self._leaf[node] = True
        parent = int(self._parent[node])
        if parent < 0 or not (self._leaf[self._tree.left[parent]] and self._leaf[self._tree.right[parent]]):
            return None
        return self._cost(parent), parent

    def tree(self) -> Tree:
        """What is left, its nodes numbered anew from the root."""
        kept = self._reachable()
        place = np.zeros(self._leaf.size, dtype=np.int64)
        place[kept] = np.arange(kept.size)
        leaf = self._leaf[kept]
        return replace(
            self._tree,
            feature=np.where(leaf, 0, self._tree.feature[kept]),
            threshold=np.where(leaf, 0.0, self._tree.threshold[kept]),
            left=np.where(leaf, 0, place[self._tree.left[kept]]),
            right=np.where(leaf, 0, place[self._tree.right[kept]]),
            missing_left=self._tree.missing_left[kept],
            leaf=leaf,
            values=self._values[kept],
        )

    def _reachable(self) -> Integers:
        found, waiting = [], [0]
        while waiting:
            node = waiting.pop()
            found.append(node)
            if not self._leaf[node]:
                waiting += [int(self._tree.right[node]), int(self._tree.left[node])]
        return np.array(found, dtype=np.int64)


def _reached(ensemble: Ensemble, matrix: Floats) -> Iterator[Integers]:
    """How many rows end in each node of each tree."""
    for tree in ensemble.trees:
        yield np.bincount(_ends(tree, matrix, strict=ensemble.strict), minlength=tree.leaf.size)


def _ends(tree: Tree, matrix: Floats, *, strict: bool) -> npt.NDArray[np.int64]:
    """The leaf of each row."""
    nodes = np.zeros(matrix.shape[0], dtype=np.int64)
    going = np.arange(matrix.shape[0])
    while going.size:
        going = going[~tree.leaf[nodes[going]]]
        at = nodes[going]
        values = matrix[going, tree.feature[at]]
        left = values < tree.threshold[at] if strict else values <= tree.threshold[at]
        left = np.where(np.isnan(values), tree.missing_left[at], left)
        nodes[going] = np.where(left, tree.left[at], tree.right[at])
    return nodes


def _ensemble(body: Body) -> Ensemble:
    assert isinstance(body.part, Ensemble)  # noqa: S101 - asked only of ensembles
    return body.part
