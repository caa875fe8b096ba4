"""What a pilot is: the models behind pilot.yaml.

Only shape and meaning are checked here; `pilotage.core.pilots` reads the file
and says on which line something is wrong. No model looks at data.
"""

from __future__ import annotations

from pilotage.core.specs.bases import Column, Misplaced, Model, Name, Target
from pilotage.core.specs.cards import Card
from pilotage.core.specs.clusters import Cluster, Resources, Secret, Step, Toleration, Volume
from pilotage.core.specs.data import Data, FeatureKind, PythonSource, Source, Split, SqlSource
from pilotage.core.specs.goals import Goal, Value
from pilotage.core.specs.groupings import Grouping, SmallGroups
from pilotage.core.specs.monitoring import Cause, Drift, Monitor, Performance, Season
from pilotage.core.specs.pilots import PilotSpec
from pilotage.core.specs.retraining import Budget, QuietHours, Retrain, quiet_until
from pilotage.core.specs.serving import Bounds, Replicas, Rollout, Serve, Strategy
from pilotage.core.specs.training import Against, Approval, At, Estimator, Gate, Range, Search, Train

__all__ = [
    "Against",
    "Approval",
    "At",
    "Bounds",
    "Budget",
    "Card",
    "Cause",
    "Cluster",
    "Column",
    "Data",
    "Drift",
    "Estimator",
    "FeatureKind",
    "Gate",
    "Goal",
    "Grouping",
    "Misplaced",
    "Model",
    "Monitor",
    "Name",
    "Performance",
    "PilotSpec",
    "PythonSource",
    "QuietHours",
    "Range",
    "Replicas",
    "Resources",
    "Retrain",
    "Rollout",
    "Search",
    "Season",
    "Secret",
    "Serve",
    "SmallGroups",
    "Source",
    "Split",
    "SqlSource",
    "Step",
    "Strategy",
    "Target",
    "Toleration",
    "Train",
    "Value",
    "Volume",
    "quiet_until",
]
