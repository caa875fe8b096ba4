"""The one MLflow client: experiments, runs, models, versions and aliases go through here.

Everyone else speaks of pilots and versions. What is read often (which version
is champion, where its files are) is read without importing MLflow, which takes
longer than most commands; what is written always goes through MLflow's client.
"""

from __future__ import annotations

from pilotage.core.registry.clients import Registry
from pilotage.core.registry.versions import Alias, Registered

__all__ = ["Alias", "Registered", "Registry"]
