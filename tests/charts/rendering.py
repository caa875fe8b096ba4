"""Charts as Helm renders them, without a cluster and without Helm's binary.

The only module that touches helm-python-sdk, whose interface is young; everybody else gets documents and
text. What the documents must look like is not known here (`policies`, `schemas`).
"""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHARTS = REPOSITORY / "charts"
NAME = "release"
NAMESPACE = "models"

Document = dict[str, Any]
"""One manifest."""


class Refused(Exception):
    """Helm took the values or a template for wrong; the text is what a person would read."""


class _Loader(yaml.CSafeLoader):
    """Refuses a key that stands twice in one mapping: Helm's YAML and Kubernetes' silently take the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise Refused(f"{node.start_mark}: keys given twice: {', '.join(twice)}")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def folder(chart: str | Path) -> Path:
    """The folder of a chart, which is a path or the name of one in `charts/`."""
    return chart if isinstance(chart, Path) else CHARTS / chart


def render(
    chart: str | Path, values: Mapping[str, Any], *, name: str = NAME, namespace: str = NAMESPACE
) -> list[Document]:
    """The manifests of a chart, hooks and tests too, in the order of their files.

    Raises:
        Refused: the values do not fit the schema, a template fails, or what it writes is no YAML.
    """
    return [
        document
        for _, text in sorted(texts(chart, values, name=name, namespace=namespace).items())
        for document in parse(text)
    ]


def texts(
    chart: str | Path, values: Mapping[str, Any], *, name: str = NAME, namespace: str = NAMESPACE
) -> dict[str, str]:
    """What each template of a chart writes, by its path within the chart; the notes are left out.

    Raises:
        Refused: see `render`.
    """
    found = _render(chart, values, name, namespace)
    return {path: text for path, text in found.items() if path.endswith((".yaml", ".yml")) and text.strip()}


def notes(
    chart: str | Path, values: Mapping[str, Any], *, name: str = NAME, namespace: str = NAMESPACE
) -> str:
    """What Helm prints after an installation."""
    found = _render(chart, values, name, namespace)
    return next((text for path, text in found.items() if path == "templates/NOTES.txt"), "")


def parse(text: str) -> Iterator[Document]:
    """The documents of a file of manifests, for the caller to change."""
    yield from pickle.loads(_parsed(text))  # ours, of a moment ago


@functools.cache
def _parsed(text: str) -> bytes:
    """The documents, packed; most files of most combinations of values are the same."""
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))  # safe, and strict about keys
    except yaml.YAMLError as error:
        raise Refused(f"no YAML: {error}\n{text}") from error
    return pickle.dumps([document for document in documents if document is not None])


def refusal(chart: str | Path, values: Mapping[str, Any]) -> str:
    """What Helm says against the values; empty when it takes them."""
    try:
        render(chart, values)
    except Refused as error:
        return str(error)
    return ""


def lint(chart: str | Path, values: Mapping[str, Any], *, namespace: str = NAMESPACE) -> list[str]:
    """What `helm lint --strict` finds, warnings too; an icon is not asked for."""
    report = helm_python.lint(folder(chart), dict(values), strict=True, namespace=namespace)
    return [
        f"{message['path']}: {message['error']}" for message in report["messages"] if message["severity"] >= 2
    ]


def values_file(file: Path) -> dict[str, Any]:
    """A file of values, as Helm reads it."""
    return dict(helm_python.values_from_yaml(file.read_text(encoding="utf-8")))


def merged(chart: str | Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the chart's defaults beneath."""
    with helm_python.Chart.load(folder(chart)) as loaded:
        return dict(loaded.merge_values(dict(values)))


def schema(chart: str | Path) -> dict[str, Any]:
    """The schema of a chart's values."""
    with helm_python.Chart.load(folder(chart)) as loaded:
        return dict(loaded.schema or {})


def _render(chart: str | Path, values: Mapping[str, Any], name: str, namespace: str) -> dict[str, str]:
    try:
        with helm_python.Chart.load(folder(chart)) as loaded:
            found = loaded.render(dict(values), name=name, namespace=namespace)
    except helm_python.HelmError as error:
        raise Refused(_plain(str(error))) from error
    # paths begin with the chart's name; those of parts keep theirs: `charts/mlflow/templates/…`
    return {path.split("/", 1)[1]: text for path, text in found.items()}


def _plain(text: str) -> str:
    """An error without the place in the template, which says nothing to whoever wrote the values."""
    return re.sub(r"execution error at \([^)]*\): ", "", text).strip()
