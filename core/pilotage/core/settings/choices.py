"""What settings with a few values may be."""

from __future__ import annotations

from enum import StrEnum


class PicklePolicy(StrEnum):
    """Which pickled models may be loaded."""

    NEVER = "never"
    OWN = "own"
    """Only those that this installation signed when it trained them."""
    ANY = "any"


class AccessLogPolicy(StrEnum):
    """Which requests a model server's access log has a line for."""

    OFF = "off"
    ERRORS = "errors"
    """Those that were not answered well: status 400 and above."""
    ALL = "all"


class ClusterAccess(StrEnum):
    """How the cluster that releases go to is reached."""

    NONE = "none"
    """It is not: a person confirms what became of a release."""
    INSIDE = "inside"
    """This process is in one of its pods."""
    KUBECONFIG = "kubeconfig"


class ReleaseMode(StrEnum):
    """How a release gets into its branch."""

    COMMIT = "commit"
    BRANCH = "branch"
    """On a branch of its own, for a pull or merge request."""


class Forge(StrEnum):
    """Whose API opens requests."""

    NONE = ""
    GITHUB = "github"
    GITLAB = "gitlab"
