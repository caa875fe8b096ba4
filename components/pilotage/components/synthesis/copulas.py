"""A Gaussian copula over columns of any kind: which go together, apart from how each is spread.

Rows become normal scores; a column with few values has the expected score of each, and the
correlation behind two columns is the one that explains the mean product of their scores (by
Mehler's formula, in `margins.TERMS` Hermite terms), so that few values do not weaken it. Whether a
value is missing is a column of its own. Source of the model: Nelsen, *An Introduction to Copulas*
(2006); Patki, Wedge, Veeramachaneni, *The Synthetic Data Vault* (2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from pilotage.components.synthesis import margins
from pilotage.components.synthesis.margins import Margin, Scores
from pilotage.core.features import Columns

Floats = npt.NDArray[np.float64]

_MOST = 0.995
"""The largest correlation."""
_BISECTIONS = 24
_LEAST_EIGENVALUE = 1e-6


@dataclass(frozen=True)
class Copula:
    """Columns, their margins and what lies behind them."""

    margins: Mapping[str, Margin]
    latent: tuple[tuple[str, bool], ...]
    """Column, and whether it is about missing values, by place in the correlation."""
    correlation: Floats
    """Shape `(latent, latent)`."""
    rows: int

    def draw(self, rows: int, random: np.random.Generator) -> Columns:
        """So many new rows."""
        lower = np.linalg.cholesky(self.correlation) if self.latent else np.empty((0, 0))
        normal = random.standard_normal((rows, len(self.latent))) @ lower.T
        uniforms = np.clip(ndtr(normal), 1e-12, 1 - 1e-12)
        places = {key: place for place, key in enumerate(self.latent)}
        found: Columns = {}
        for name, margin in self.margins.items():
            value, absence = places.get((name, False)), places.get((name, True))
            shares = np.full(rows, 0.5) if value is None else uniforms[:, value]
            absent = np.full(rows, margin.missing >= 1.0)
            if absence is not None:
                absent = uniforms[:, absence] > 1.0 - margin.missing
            found[name] = margin.draw(shares, absent)
        return found


def fit(
    columns: Columns, made: Mapping[str, Margin], towards: Copula | None = None, prior: float = 0.0
) -> Copula:
    """The copula of `columns` with their margins `made`.

    Args:
        columns: `n` rows.
        made: a margin for each.
        towards: another copula over the same columns; few rows are drawn towards its correlation.
        prior: how many rows that one counts for.
    """
    rows = next(iter(columns.values())).shape[0] if columns else 0
    latent: list[tuple[str, bool]] = []
    scored: list[Scores] = []
    for name, margin in made.items():
        if len(margin.levels) > 1 or margin.knots.size > 1:
            latent.append((name, False))
            scored.append(margins.scores(margin, columns[name]))
        if 0.0 < margin.missing < 1.0:
            latent.append((name, True))
            scored.append(margins.absences(margin, columns[name]))
    correlation = _correlation(scored)
    if towards is not None:
        share = rows / (rows + prior)
        correlation = share * correlation + (1 - share) * _like(towards, latent)
    return Copula(dict(made), tuple(latent), _sound(correlation), rows)


def _correlation(scored: Sequence[Scores]) -> Floats:
    if not scored:
        return np.empty((0, 0))
    values = np.stack([each.values for each in scored], axis=1)
    present = np.stack([each.present for each in scored], axis=1).astype(np.float64)
    together = present.T @ present
    products = np.divide(values.T @ values, together, out=np.zeros_like(together), where=together > 1)
    terms = np.stack([each.terms for each in scored])
    found = _behind(products, terms)
    found *= together / (together + 3.0)  # a pair that is rarely seen together says little
    np.fill_diagonal(found, 1.0)
    return found


def _behind(products: Floats, terms: Floats) -> Floats:
    """The correlations whose expected products of scores are `products`; all pairs are bisected together."""
    factorials = np.array([math.factorial(term + 1) for term in range(terms.shape[1])], dtype=np.float64)
    weights = terms[:, None, :] * terms[None, :, :] / factorials
    low, high = np.full(products.shape, -_MOST), np.full(products.shape, _MOST)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        expected, power = np.zeros(products.shape), np.ones(products.shape)
        for term in range(terms.shape[1]):
            power = power * middle
            expected += weights[:, :, term] * power
        short = expected < products
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    found: Floats = (low + high) / 2
    return found


def _like(other: Copula, latent: Sequence[tuple[str, bool]]) -> Floats:
    """The other's correlation for these columns; 0 where it does not have them."""
    places = {key: place for place, key in enumerate(other.latent)}
    found = np.eye(len(latent))
    for row, first in enumerate(latent):
        for column, second in enumerate(latent):
            if row != column and first in places and second in places:
                found[row, column] = other.correlation[places[first], places[second]]
    return found


def _sound(correlation: Floats) -> Floats:
    """The nearest matrix by its spectrum that is a correlation."""
    if not correlation.size:
        return correlation
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    mended = (vectors * np.maximum(values, _LEAST_EIGENVALUE)) @ vectors.T
    scale = 1 / np.sqrt(np.diag(mended))
    found: Floats = mended * scale[:, None] * scale[None, :]
    return found
