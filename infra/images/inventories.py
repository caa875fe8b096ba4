"""The bill of materials of an image, as CycloneDX: Python's distributions and Debian's packages.

What is installed is read and not what was asked for. The document has no time and no random number in
it, so that the same image has the same bill.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

STATUS = Path("/var/lib/dpkg/status")

_PROGRAM = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("cyclonedx_py", run_name="__main__")
"""
"""Not by PYTHONPATH, which the environment's Python would have from it, and list the tools as installed."""


def document(
    image: str, version: str, environment: Path, tools: Path, without: Sequence[str] = ()
) -> dict[str, Any]:
    """The bill of what is installed in `environment` and in the root that this runs in.

    Args:
        image: its name.
        version: of Pilotage.
        environment: a virtual environment.
        tools: where CycloneDX's own program is installed.
        without: Debian packages that are still here and not in the image.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "bill.json"
        subprocess.run(  # noqa: S603 - this interpreter and a locked program
            [
                *(sys.executable, "-B", "-c", _PROGRAM, str(tools), "environment", "--output-reproducible"),
                *("--spec-version", "1.6", "--output-format", "JSON", "--output-file", str(out)),
                str(environment / "bin" / "python"),
            ],
            check=True,
        )
        found: dict[str, Any] = json.loads(out.read_text())
    for component in found["components"]:
        component.pop("externalReferences", None)  # where this build took it from is nobody's business
    found["components"] += [item for item in debian_packages() if item["name"] not in without]
    name = f"pilotage-{image}"
    found["metadata"]["component"] = {
        "bom-ref": "image",
        "type": "container",
        "name": name,
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    content = json.dumps(found["components"], sort_keys=True)
    found["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{name}@{version} {content}')}"
    return found


def debian_packages() -> list[dict[str, Any]]:
    """Components for what dpkg's status says is installed; none on another base."""
    if not STATUS.is_file():
        return []
    stanzas = (
        dict(re.findall(r"^([\w-]+): (.*)$", text, re.MULTILINE)) for text in STATUS.read_text().split("\n\n")
    )
    return [_debian(fields) for fields in stanzas if fields.get("Status", "").endswith(" installed")]


def _debian(fields: dict[str, str]) -> dict[str, Any]:
    name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
    purl = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}?arch={architecture}"
    return {"bom-ref": purl, "type": "library", "name": name, "version": version, "purl": purl}
