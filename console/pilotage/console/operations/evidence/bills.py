"""The bill of materials of a version, as CycloneDX 1.6: the model, its data, and the packages it needs.

Packages are those that the version pins; a package's licence is told where the same version is installed
here, and nobody is asked for it. The one module that knows CycloneDX.
"""

from __future__ import annotations

import importlib.metadata
import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pilotage.core import errors
from pilotage.core.artifacts import Model, Snapshot

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([\w.!+-]+)$")
_SPACE = uuid.UUID("6f6b3d1c-5f0e-4a53-9d8f-1d2a5b8c7e90")
"""Of serial numbers: the same version always has the same one."""


def write(model: Model, version: int, snapshot: Snapshot | None) -> str:
    """The bill as JSON, the same bytes for the same version wherever the same packages are installed.

    Raises:
        MissingExtra: what writes it is not installed.
        Failure: it would not be valid.
    """
    try:
        from cyclonedx.output.json import JsonV1Dot6
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ModuleNotFoundError as error:
        raise errors.MissingExtra(
            "A bill of materials needs `cyclonedx-python-lib`, which is not installed.",
            remedy='`pip install "pilotage[all]"` installs it.',
        ) from error
    text = str(JsonV1Dot6(_bill(model, version, snapshot)).output_as_string(indent=2))
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise errors.Failure(f"The bill of materials is not valid CycloneDX 1.6: {str(wrong)[:300]}.")
    return text + "\n"


def _bill(model: Model, version: int, snapshot: Snapshot | None) -> Bom:
    from cyclonedx.model.bom import Bom, BomMetaData

    whole = _model(model, version)
    parts = list(_packages(model))
    if snapshot is not None:
        parts.append(_data(snapshot))
    bill = Bom(
        components=parts,
        serial_number=uuid.uuid5(_SPACE, f"{model.pilot}/{version}/{model.digest}"),
        metadata=BomMetaData(component=whole, timestamp=model.created_at),
    )
    bill.register_dependency(whole, parts)
    return bill


def _model(model: Model, version: int) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    facts = {
        "estimator": model.estimator,
        "format": model.format.value,
        "task": model.task.value,
        "target": model.target,
        "snapshot": model.snapshot,
        "code": model.code,
        "python": model.python,
    }
    return Component(
        name=model.pilot,
        version=str(version),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{model.pilot}@{version}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=model.digest)],
        properties=[Property(name=f"pilotage:{key}", value=value) for key, value in facts.items()],
    )


def _data(snapshot: Snapshot) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    facts = {"rows": str(snapshot.rows), "columns": str(len(snapshot.columns)), "source": snapshot.source}
    return Component(
        name=f"{snapshot.pilot}-data",
        version=snapshot.digest[:12],
        type=ComponentType.DATA,
        bom_ref=f"data:{snapshot.digest}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=snapshot.digest)],
        properties=[Property(name=f"pilotage:{key}", value=value) for key, value in facts.items()],
    )


def _packages(model: Model) -> Iterator[Component]:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    for requirement in sorted(set(model.requirements)):
        pinned = _PINNED.match(requirement)
        name, version = (pinned[1], pinned[2]) if pinned else (requirement, None)
        licence = None if version is None else licence_of(name, version)
        normal = re.sub(r"[-_.]+", "-", name).lower()
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"package:{requirement}",
            purl=PackageURL("pypi", None, normal, version) if pinned else None,
            licenses=[] if licence is None else [LicenseFactory().make_from_string(licence)],
        )


def licence_of(name: str, version: str) -> str | None:
    """What an installed package says of its licence; None if it is not here, or says nothing."""
    try:
        found = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    if found.version != version:
        return None
    told = found.metadata.json
    expression = told.get("license_expression")
    if expression:
        return str(expression)
    named = [
        line.rpartition("::")[2].strip()
        for line in told.get("classifier", ())
        if line.startswith("License ::") and line.count("::") > 1
    ]
    if named:
        return named[0]
    short = str(told.get("license") or "").strip()
    return short if short and len(short) < 60 and "\n" not in short else None
