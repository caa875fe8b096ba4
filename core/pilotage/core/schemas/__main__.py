"""Writes the committed schemas anew from the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pilotage.core import pilots
from pilotage.core.artifacts import ARTIFACTS, Artifact
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.windows import Window

MODELS: tuple[type[Artifact], ...] = (*ARTIFACTS, ReferenceProfile, Window)


def current() -> dict[str, dict[str, Any]]:
    """Schemas by their file name below this folder."""
    found = {"pilot/v1.json": pilots.schema()}
    for model in MODELS:
        name = model.model_fields["kind"].default
        version = model.model_fields["schema_version"].default
        found[f"{name}/v{version}.json"] = pilots.model_schema(model)
    return found


def main() -> None:
    """Write every schema below this folder."""
    for name, schema in current().items():
        path = Path(__file__).parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
