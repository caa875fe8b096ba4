"""Synthetic rows: how they were made, how alike real ones they are, and what they give away."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from pilotage.core.artifacts.bases import Artifact, Digest, Part
from pilotage.core.artifacts.scorecards import Estimate, Verdict


class Association(Part):
    """How two columns go together in real and in synthetic rows."""

    first: str
    second: str
    real: float
    synthetic: float


class Fidelity(Part):
    """How alike synthetic and real rows are."""

    score: float
    """1 less the mean difference of columns and of pairs; 1 is alike."""
    columns: dict[str, float]
    """Greatest difference of the distribution functions (Kolmogorov, Smirnov) of numbers and times, total
    variation of categories; 0 is alike."""
    pairs: tuple[Association, ...] = ()
    """Those that differ most."""
    pair_difference: float | None = None
    """Mean over all pairs."""


class Utility(Part):
    """The goal's metric on the same real rows, after training on real and on synthetic ones."""

    metric: str
    real: Estimate
    synthetic: Estimate
    difference: Estimate
    """Synthetic less real."""
    estimator: str


class Leakage(Part):
    """Whether synthetic rows give real training rows away."""

    copies: int
    """Synthetic rows that equal a training row in every column."""
    copy_excess: float
    """Share of copies of training rows less the share of copies of rows that were held out."""
    closeness: Estimate
    """Share of synthetic rows that lie closer to training rows than to as many held-out ones; 0.5 where
    training rows are not given away."""
    neighbour_ratio: float | None
    """Median ratio of the distances to the nearest and the second nearest training row."""
    control_ratio: float | None
    """The same of held-out rows."""
    membership: Estimate
    """Area under the curve of an attack that tells training rows by their distance to the nearest synthetic
    one; 0.5 is guessing."""
    rows: int
    """Synthetic rows looked at."""
    control: int
    """Held-out rows compared with."""


class Synthetic(Part):
    """Synthetic rows, how they were made and what was measured of them."""

    method: str
    rows: int
    """That training saw."""
    classes: dict[str, int] = {}
    """Of them by class."""
    seed: int
    fitted_rows: int
    """Real training rows that the synthesizer was fitted on."""
    fidelity: Fidelity | None = None
    utility: Utility | None = None
    leakage: Leakage | None = None
    notes: tuple[str, ...] = ()
    """What could not be done or measured, and why."""


class Synthesis(Artifact):
    """A file of synthetic rows, and what was measured of them."""

    FILE = "synthesis.json"
    kind: Literal["synthesis"] = "synthesis"
    schema_version: Literal[1] = 1
    pilot: str
    snapshot: Digest
    file: str
    """Where the rows are; empty where a gate said no and nothing was written."""
    study: str = ""
    """That keeps the file, for consoles to give away; empty where it is somebody's own."""
    rows: int
    synthetic: Synthetic
    gates: tuple[Verdict, ...]
    passed: bool
    created_at: AwareDatetime
