"""Whether a manifest has the shape that its kind asks for.

Kubernetes' own kinds are checked strictly, the others by `kinds.yaml`. A kind that neither knows is an error,
never a pass. What schemas cannot say is in `policies`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from tests.charts.rendering import Document

OLDEST = "1.30"
NEWEST: str = kubernetes_validate.latest_version()
VERSIONS = (OLDEST, NEWEST)
"""The ends of the range; `test_schemas` asks those between for one manifest of each kind."""
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)
# It reads one and a half megabytes of JSON again for each manifest.
_KINDS = Path(__file__).with_name("kinds.yaml")
_POD_TEMPLATE = "PodTemplate"
_OUR_PREDICTOR_KEYS = frozenset(
    {
        "minReplicas",
        "maxReplicas",
        "scaleMetric",
        "scaleTarget",
        "labels",
        "annotations",
        "deploymentStrategy",
    }
)


def problems(document: Document, versions: tuple[str, ...] = VERSIONS) -> list[str]:
    """What is wrong with the shape of a manifest, by place; empty when nothing is."""
    return list(_problems(json.dumps(document, sort_keys=True), versions))


@functools.cache
def _problems(text: str, versions: tuple[str, ...]) -> tuple[str, ...]:
    """See `problems`; most manifests of most combinations of values are the same."""
    document = json.loads(text)
    kind = kind_of(document)
    found = _by_ours(document) if kind in others() else _by_kubernetes(document, versions)
    return tuple(f"{kind} {document.get('metadata', {}).get('name', '?')}: {item}" for item in found)


def kind_of(document: Document) -> str:
    """Group, version and kind, as `kinds.yaml` spells them."""
    return f"{document.get('apiVersion')} {document.get('kind')}"


@functools.cache
def others() -> dict[str, dict[str, Any]]:
    """Schemas of the specs of kinds that kubernetes-validate does not know, by kind."""
    content = yaml.safe_load(_KINDS.read_text(encoding="utf-8"))
    definitions = _closed(content["definitions"])
    return {kind: {"definitions": definitions, **_closed(spec)} for kind, spec in content["kinds"].items()}


def _closed(part: Any) -> Any:
    """The schema with every object closed that lists its keys."""
    if part == _POD_TEMPLATE:
        return {"type": "object"}  # looked at as Kubernetes' own
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    if isinstance(part.get("properties"), dict) and "additionalProperties" not in part:
        closed["additionalProperties"] = False
    return closed


def _by_kubernetes(document: Document, versions: tuple[str, ...]) -> Iterator[str]:
    for version in versions:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{_place(error)}: {error.message} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"no schema of this kind is known for Kubernetes {version}: add one to kinds.yaml"


def _by_ours(document: Document) -> Iterator[str]:
    extra = sorted(document.keys() - {"apiVersion", "kind", "metadata", "spec"})
    if extra:
        yield f"keys that no manifest of this kind has: {', '.join(extra)}"
    validator = jsonschema.Draft7Validator(others()[kind_of(document)])
    for error in validator.iter_errors(document.get("spec")):
        yield f"spec.{_place(error)}: {error.message}"
    for template in pod_templates(document):
        yield from _by_kubernetes(_deployment(document["metadata"], template), VERSIONS)
    yield from _by_kubernetes(_config_map(document["metadata"]), VERSIONS)


def _place(error: jsonschema.ValidationError) -> str:
    return ".".join(str(part) for part in error.absolute_path)


def _deployment(metadata: Mapping[str, Any], template: Mapping[str, Any]) -> Document:
    """A Deployment around a pod template, so that Kubernetes' schema looks at it."""
    labels = template.get("metadata", {}).get("labels", {})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": dict(metadata),
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _config_map(metadata: Mapping[str, Any]) -> Document:
    """A ConfigMap with the metadata, so that Kubernetes' schema looks at them."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": dict(metadata)}


def pod_templates(document: Document) -> Iterator[Document]:
    """The pods that a manifest makes, each as a template with metadata and spec."""
    spec = document.get("spec") or {}
    kind = document.get("kind")
    if kind == "Pod":
        yield {"metadata": document["metadata"], "spec": spec}
    elif kind == "CronJob":
        yield spec["jobTemplate"]["spec"]["template"]
    elif kind == "InferenceService":
        predictor = spec["predictor"]
        yield {
            "metadata": {key: predictor[key] for key in ("labels", "annotations") if key in predictor},
            "spec": {key: value for key, value in predictor.items() if key not in _OUR_PREDICTOR_KEYS},
        }
    elif isinstance(spec.get("template"), dict) and "spec" in spec["template"]:
        yield spec["template"]
