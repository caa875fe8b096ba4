"""Runs that Kubeflow Pipelines carries out: the only part of Pilotage that talks to its API.

A run is submitted once, under a name that is its own, and looked at until it has
ended; what it does goes into the same records and events as a run of this machine.
Steps tell what became of them through the storage (see `components.outcomes`), for
Kubeflow's API tells of states and times only. Nothing here is imported by what
runs without Kubeflow: its client takes a second to import.
"""
