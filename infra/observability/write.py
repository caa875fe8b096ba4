"""Writes what follows from `rules/` and the boards: manifests for the Prometheus operator, Grafana's JSON.

python infra/observability/write.py            writes
python infra/observability/write.py --check    says what is not as it would be written; exit code 1
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import drifts
import platforms
import services
import yaml

HERE = Path(__file__).parent
_BOARDS = {"service.json": services.build, "platform.json": platforms.build, "drift.json": drifts.build}
_LABELS = {"app.kubernetes.io/name": "pilotage", "app.kubernetes.io/part-of": "pilotage"}


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is written, and its content."""
    yield HERE / "operator" / "rules.yaml", _manifests()
    for name, build in _BOARDS.items():
        yield HERE / "grafana" / "dashboards" / name, json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def _manifests() -> str:
    head = "# Written from ../rules by write.py; change those.\n"
    return head + "---\n".join(_dump(_manifest(file)) for file in sorted((HERE / "rules").glob("*.yaml")))


def _manifest(file: Path) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"pilotage-{file.stem}", "labels": _LABELS},
        "spec": yaml.safe_load(file.read_text(encoding="utf-8")),
    }


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as they are read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _dump(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=200, allow_unicode=True)


def main(arguments: Sequence[str]) -> int:
    """Write, or check; returns the exit code."""
    stale = [(file, text) for file, text in files() if not file.exists() or file.read_text("utf-8") != text]
    if "--check" in arguments:
        sys.stderr.writelines(f"{file} is not as `python {__file__}` writes it.\n" for file, _ in stale)
        return int(bool(stale))
    for file, text in stale:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
