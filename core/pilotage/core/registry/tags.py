"""Names of the tags that say of a run or a version in MLflow where it comes from and what was decided of it.

Values are text. Tags that one module alone writes and reads (a signature's, a rollout's, an erasure's) are
named in that module.
"""

from __future__ import annotations

PILOT_TAG = "pilotage.pilot"
RUN_TAG = "pilotage.run"
"""Pilotage's own id of the run or the study that made it."""
SOURCE_TAG = "pilotage.source"
"""Where the rows came from."""
SNAPSHOT_TAG = "pilotage.snapshot"
"""Digest of the rows that it was trained on."""
SUITE_TAG = "pilotage.suite"
"""Digest of what was expected of them."""
SCORECARD_TAG = "pilotage.scorecard"
"""Digest of the scorecard."""
CODE_TAG = "pilotage.code"
"""Digest of the sources that trained it."""
REVISION_TAG = "pilotage.revision"
"""The commit of the pilot's folder, where git has one; `+changes` follows where some were not committed."""
PASSED_TAG = "pilotage.passed"
"""Whether every gate passed: `true` or `false`."""
FORM_TAG = "pilotage.form"
"""`ready`, or `refused: ` and why it has no inference form."""
SKEW_TAG = "pilotage.skew"
"""`none`, or `found: ` and where training and serving disagree."""
DECISION_TAG = "pilotage.decision"
"""What was decided of it, a `Decision`."""
REASON_TAG = "pilotage.reason"
"""Why."""
HELD_TAG = "pilotage.held"
"""Why a person is asked about it, also where pilot.yaml asks none."""
