"""Where runs are carried out. Apart from the settings so that the command line need not load these."""

from __future__ import annotations

from enum import StrEnum


class Place(StrEnum):
    """Where runs are carried out."""

    LOCAL = "local"
    """In processes of the machine that runs Pilotage."""
    KUBEFLOW = "kubeflow"
    """In pods, by Kubeflow Pipelines."""
