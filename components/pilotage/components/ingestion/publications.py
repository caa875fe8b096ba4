"""A written table becomes a snapshot: its manifest, and one rename that makes all of it visible.

How the files are written is `ingestion.tables`'s; who may see them is not asked here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pilotage.components.ingestion.tables import Written
from pilotage.core.personal import erasures
from pilotage.core.storage import COMPLETE, Storage


def publish(store: Storage, staging: Path, table: Written) -> dict[str, Any]:
    """Make the files in `staging` visible, or find that the same content is; returns the manifest in force.

    The snapshot is there afterwards, so a note that it was deleted goes.
    """
    name = f"snapshots/{table.digest}"
    if not store.published(name):
        manifest = {
            "digest": table.digest,
            "rows": table.rows,
            "columns": [facts.column.model_dump(mode="json") for facts in table.facts.values()],
            "files": [file.model_dump(mode="json") for file in table.files],
            "created_at": datetime.now(UTC).isoformat(),
        }
        (staging / COMPLETE).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
        store.publish(staging, name)
        erasures.forget_note(store, table.digest)
    content: dict[str, Any] = json.loads(store.read(f"{name}/{COMPLETE}"))
    return content
