"""Which smaller models are tried of a version, and how each is made.

Each recipe makes the same candidate whenever it is followed, so one that was chosen can be made again
after a crash. What cannot be made of a version says why, and is listed with that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from pilotage.components.compilation import encoders
from pilotage.components.compilation.estimators import Body, Linear
from pilotage.components.shrinking import builds, denses, selections, students, trees
from pilotage.components.shrinking.sources import Source
from pilotage.components.shrinking.students import Student
from pilotage.core import errors
from pilotage.core.artifacts import Technique
from pilotage.core.forms.encodings import Encoder, Matrix
from pilotage.core.models import Predictor

NEURONS = (16, 64)
"""Of the networks that learn."""
STUDENT_ITERATIONS, STUDENT_LEAVES = 20, 12
_WEIGHING_ROWS = 20_000
"""Training rows that weigh leaves."""


@dataclass(frozen=True)
class Recipe:
    """How one candidate is made."""

    name: str
    technique: Technique
    make: Callable[[], tuple[Predictor, str]]
    """Gives the model and how it was made, in words; raises EstimatorError where it cannot be made."""


def recipes(source: Source, tolerance: float) -> tuple[Recipe, ...]:
    """The recipes for a version.

    Args:
        source: the version.
        tolerance: how much of the goal's metric may be lost on the training rows that choose.
    """
    kitchen = _Kitchen(source, tolerance)
    return (*kitchen.of_trees(), *kitchen.of_products(), *kitchen.of_features(), *kitchen.of_students())


class _Kitchen:
    """Makes candidates of one version; what several need is made once."""

    def __init__(self, source: Source, tolerance: float) -> None:
        self._source = source
        self._tolerance = tolerance
        self._learnt: dict[int, Student] = {}

    # -- trees -----------------------------------------------------------------

    def of_trees(self) -> Iterator[Recipe]:
        """Smaller ensembles of a version that is one."""
        if not builds.is_of_trees(self._source.body):
            return
        yield Recipe("float32", Technique.QUANTIZED, self._float32)
        yield Recipe("fewer-trees", Technique.PRUNED, self._fewer_trees)
        yield Recipe("half-leaves", Technique.PRUNED, partial(self._merged, 0.5))
        yield Recipe("quarter-leaves", Technique.PRUNED, partial(self._merged, 0.25))
        yield Recipe("small-trees", Technique.PRUNED, self._small_trees)

    def _float32(self) -> tuple[Predictor, str]:
        return self._of_body(self._body, single=True), "thresholds and leaves in 32 bits instead of 64"

    def _fewer_trees(self) -> tuple[Predictor, str]:
        body, how = self._first_trees
        return self._of_body(body), how

    def _merged(self, share: float) -> tuple[Predictor, str]:
        before = trees.leaves(self._body.part)  # type: ignore[arg-type]
        body = self._without_leaves(self._body, share)
        after = trees.leaves(body.part)  # type: ignore[arg-type]
        return self._of_body(body), f"{after} of {before} leaves, the others merged where it changes least"

    def _without_leaves(self, body: Body, share: float) -> Body:
        merged = trees.merge_leaves(body, self._matrix, share)
        said = builds.sums(body, self._matrix, self._source.model)
        return trees.settle(merged, self._matrix, said)

    def _small_trees(self) -> tuple[Predictor, str]:
        try:
            body, how = self._first_trees
        except errors.EstimatorError:
            body, how = self._body, "all trees"
        body = self._without_leaves(body, 0.5)
        return self._of_body(body, single=True), f"{how}, half of their leaves, in 32 bits"

    @cached_property
    def _first_trees(self) -> tuple[Body, str]:
        body, source = self._body, self._source
        total = trees.rounds(body.part, body.base.size)  # type: ignore[arg-type]
        count = selections.enough_rounds(source, self._tolerance)
        kept = trees.keep_first(body, count, averaged=source.averaged)
        return kept, f"the first {count} of {total} rounds of trees"

    # -- products --------------------------------------------------------------

    def of_products(self) -> Iterator[Recipe]:
        """Matrices in fewer bits, of a version whose graph multiplies with some."""
        body = self._source.body
        if body is not None and isinstance(body.part, Linear):
            yield Recipe("float32", Technique.QUANTIZED, self._float32_weights)
        if self._dense and denses.has_products(self._dense):
            yield from self._in_8_bits("", lambda: self._dense)

    def _in_8_bits(self, prefix: str, graph: Callable[[], bytes]) -> Iterator[Recipe]:
        def weights() -> tuple[Predictor, str]:
            return self._of_dense(denses.int8_weights(graph())), "weights in 8 bits, sums in 32"

        def static() -> tuple[Predictor, str]:
            how = "products in 8 bits, scaled by ranges of training rows"
            return self._of_dense(denses.int8_static(graph(), self._matrix)), how

        def dynamic() -> tuple[Predictor, str]:
            how = "products in 8 bits, scaled by the range of each batch"
            return self._of_dense(denses.int8_dynamic(graph())), how

        yield Recipe(f"{prefix}int8-weights", Technique.QUANTIZED, weights)
        yield Recipe(f"{prefix}int8-static", Technique.QUANTIZED, static)
        yield Recipe(f"{prefix}int8-dynamic", Technique.QUANTIZED, dynamic)

    def _float32_weights(self) -> tuple[Predictor, str]:
        return self._of_body(self._body, single=True), "weights in 32 bits instead of 64"

    @cached_property
    def _dense(self) -> bytes:
        """The version's graph in 32 bits; empty where there is none of products."""
        source = self._source
        if source.body is None:
            return source.graph
        return b"" if builds.is_of_trees(source.body) else builds.in_32_bits(source.body, self._width)

    # -- features and students -------------------------------------------------

    def of_features(self) -> Iterator[Recipe]:
        """The same estimator on fewer features."""
        if ":" not in self._source.model.estimator and self._source.model.shrunk is None:
            yield Recipe("fewer-features", Technique.SELECTED, self._fewer_features)

    def _fewer_features(self) -> tuple[Predictor, str]:
        source = self._source
        names = selections.fewest_features(source, self._tolerance)
        made = selections.fit(source, source.on(names)[0])
        return (
            made,
            f"trained again on {len(names)} of {len(source.model.features)} features: {', '.join(names)}",
        )

    def of_students(self) -> Iterator[Recipe]:
        """Small models that learn what the version says."""
        yield Recipe("student-trees", Technique.DISTILLED, self._student_trees)
        for neurons in NEURONS:
            yield Recipe(f"student-{neurons}", Technique.DISTILLED, partial(self._student, neurons))
        most = max(NEURONS)
        yield Recipe(f"student-{most}-int8", Technique.DISTILLED, partial(self._student, most, packed=True))

    def _student_trees(self) -> tuple[Predictor, str]:
        learnt = students.trees(self._source, STUDENT_ITERATIONS, STUDENT_LEAVES)
        assert learnt.body is not None  # noqa: S101 - it is of trees
        width = Encoder(encoders.inputs(learnt.encode)).width
        made = builds.of_body(learnt.encode, learnt.body, width, self._source.model, single=True)
        how = (
            f"{STUDENT_ITERATIONS} trees an output of at most {STUDENT_LEAVES} leaves, taught by the version"
        )
        return made, how

    def _student(self, neurons: int, *, packed: bool = False) -> tuple[Predictor, str]:
        learnt = self._learnt.get(neurons) or students.network(self._source, neurons)
        self._learnt[neurons] = learnt
        graph = denses.int8_weights(learnt.graph) if packed else learnt.graph
        outputs = self._source.sums.shape[1]
        made = builds.of_graph(learnt.encode, graph, np.zeros(outputs), self._source.link, self._source.model)
        how = f"a network of {neurons} neurons, taught by the version"
        return made, f"{how}, its weights in 8 bits" if packed else how

    # -- what they share -------------------------------------------------------

    @property
    def _body(self) -> Body:
        assert self._source.body is not None  # noqa: S101 - recipes that need it are made only with it
        return self._source.body

    @cached_property
    def _encoder(self) -> Encoder:
        form = self._source.form
        return Encoder(encoders.inputs(self._source.encode) if form is None else form.form.inputs)

    @property
    def _width(self) -> int:
        return self._encoder.width

    @cached_property
    def _matrix(self) -> Matrix:
        """Encoded training rows."""
        train = self._source.train
        step = max(train.rows // _WEIGHING_ROWS, 1)
        columns = {name: values[::step] for name, values in train.columns.items()}
        return self._encoder.matrix(columns, len(next(iter(columns.values()))))

    def _of_body(self, body: Body, *, single: bool = False) -> Predictor:
        return builds.of_body(self._source.encode, body, self._width, self._source.model, single=single)

    def _of_dense(self, graph: bytes) -> Predictor:
        source = self._source
        if source.body is not None:
            base, link = source.body.base, source.body.link
        else:
            assert source.form is not None  # noqa: S101 - its graph was there
            base, link = np.array(source.form.form.base), source.form.form.link
        return builds.of_graph(source.encode, graph, base, link, source.model)
