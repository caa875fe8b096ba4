"""What a pilot is: the models behind pilot.yaml.

Only shape and meaning are checked here; `pilotage.core.pilots` reads the file
and says on which line something is wrong. No model looks at data.
"""

from __future__ import annotations

from pilotage.core.specs.augmentations import Augment, Synthesizer
from pilotage.core.specs.bases import Column, Misplaced, Model, Name, Target
from pilotage.core.specs.cards import Card
from pilotage.core.specs.clusters import Cluster, Resources, Secret, Step, Toleration, Volume
from pilotage.core.specs.data import EMBEDDED, Data, FeatureKind, PythonSource, Source, Split, SqlSource
from pilotage.core.specs.goals import Goal, Value
from pilotage.core.specs.groupings import Grouping, SmallGroups
from pilotage.core.specs.monitoring import Cause, Drift, Monitor, Performance, Season
from pilotage.core.specs.pilots import PilotSpec
from pilotage.core.specs.protections import Personal, PersonalKind, Policy, Reasoned
from pilotage.core.specs.retraining import Budget, QuietHours, Retrain, quiet_until
from pilotage.core.specs.serving import Bounds, Replicas, Rollout, Serve, Strategy
from pilotage.core.specs.training import (
    DISTRIBUTED,
    Against,
    Approval,
    At,
    Encoder,
    Estimator,
    Gate,
    Range,
    Search,
    Train,
)

__all__ = [
    "DISTRIBUTED",
    "EMBEDDED",
    "Against",
    "Approval",
    "At",
    "Augment",
    "Bounds",
    "Budget",
    "Card",
    "Cause",
    "Cluster",
    "Column",
    "Data",
    "Drift",
    "Encoder",
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
    "Personal",
    "PersonalKind",
    "PilotSpec",
    "Policy",
    "PythonSource",
    "QuietHours",
    "Range",
    "Reasoned",
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
    "Synthesizer",
    "Target",
    "Toleration",
    "Train",
    "Value",
    "Volume",
    "quiet_until",
]
