"""Kinds and states of services. Importing this loads nothing."""

from __future__ import annotations

from enum import StrEnum


class ServiceKind(StrEnum):
    """What a service is."""

    CONSOLE = "console"
    SCHEDULER = "scheduler"
    MONITORS = "monitors"
    MLFLOW = "mlflow"
    SERVER = "server"
    """A pilot's model server."""


class ServiceState(StrEnum):
    """States of a service."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    """It ended by itself and is started again after a while."""
    STOPPED = "stopped"
    LOST = "lost"
    """Nobody has told of it for a while; never written, only concluded."""
