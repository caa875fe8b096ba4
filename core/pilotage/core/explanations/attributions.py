"""What an explanation consists of, whichever method made it; methods and processes are not known here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from pilotage.core.artifacts import Scalar

Array = npt.NDArray[np.float64]


class Method(StrEnum):
    """How contributions were found."""

    TREE = "tree"
    """Exact for the trees' own distribution of rows: Lundberg et al., "From local explanations to global
    understanding with explainable AI for trees", 2020, path-dependent."""
    LINEAR = "linear"
    """Exact for a sum of functions of single features, against the reference profile's distributions."""
    PERMUTATION = "permutation"
    """Estimated within a budget: Castro, Gómez and Tejada, "Polynomial calculation of the Shapley value
    based on sampling", 2009, with each order also taken backwards; against the profile's distributions."""


class Output(StrEnum):
    """Which output of the model the contributions add up to."""

    LOG_ODDS = "log-odds"
    """Of the class, for two classes."""
    MARGIN = "margin"
    """Of the class before softmax, for more than two."""
    PROBABILITY = "probability"
    NUMBER = "number"
    LOG = "log"
    """Natural logarithm of the predicted number."""
    SCORE = "score"
    """What a classifier without probabilities decides by."""


@dataclass(frozen=True)
class Budget:
    """What an estimate may cost."""

    evaluations: int
    """Of the model, for each row; two rounds are always made."""
    seconds: float
    """For the whole request; the round in progress is finished."""


@dataclass(frozen=True)
class Sums:
    """Contributions by row, feature and output, before one output is chosen for each row."""

    base: Array
    """Shape `(outputs,)`."""
    contributions: Array
    """Shape `(rows, features, outputs)`."""

    @property
    def totals(self) -> Array:
        """What base and contributions add up to, shape `(rows, outputs)`."""
        totals: Array = self.base + self.contributions.sum(axis=1)
        return totals

    @property
    def size(self) -> float:
        """How large the terms of a total are, which says how exact it can be."""
        return float(np.abs(self.base).max() + np.abs(self.contributions).sum(axis=1).max())


@dataclass(frozen=True)
class Attribution:
    """An explanation of `n` rows."""

    method: Method
    output: Output
    features: tuple[str, ...]
    base: Array
    """What is expected of a row that nothing is known of, shape `(n,)`."""
    contributions: Array
    """Shape `(n, features)`; a row's base and contributions add up to its value."""
    values: Array
    """The model's output, shape `(n,)`."""
    classes: tuple[Scalar, ...] | None = None
    """The class that each row's output is of; None for regression."""
    standard_errors: Array | None = None
    """Of estimated contributions, shape `(n, features)`."""
    evaluations: int = 0
    """Of the model for each row, where contributions are estimated."""

    @property
    def exact(self) -> bool:
        return self.method is not Method.PERMUTATION

    def document(self) -> dict[str, Any]:
        """As it is told to clients, in JSON's types and numpy's."""
        found: dict[str, Any] = {
            "method": str(self.method),
            "exact": self.exact,
            "output": str(self.output),
            "base": self.base,
            "values": self.values,
            "explanations": self._by_feature(self.contributions),
        }
        if self.classes is not None:
            found["classes"] = list(self.classes)
        if self.standard_errors is not None:
            found["standard_errors"] = self._by_feature(self.standard_errors)
            found["evaluations"] = self.evaluations
        return found

    def _by_feature(self, table: Array) -> list[dict[str, float]]:
        return [dict(zip(self.features, row, strict=True)) for row in table.tolist()]
