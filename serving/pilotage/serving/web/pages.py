"""The page at `/docs`: the OpenAPI document for people, self-contained and without scripts."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

_FILES = resources.files("pilotage.serving.web") / "templates"
_STYLE = _FILES.joinpath("docs.css").read_text("utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; frame-ancestors 'none'"
"""What the page may load: nothing but its own style."""


@cache
def _template() -> Template:
    source = _FILES.joinpath("docs.html.jinja").read_text("utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(source)


def describe(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    parts = document.get("components", {}).get("schemas", {})
    operations = [
        {
            "path": path,
            "method": method.upper(),
            "summary": operation.get("summary", ""),
            "request": _contents(operation.get("requestBody", {})),
            "responses": [
                {"status": status, "description": answer.get("description", ""), "content": _contents(answer)}
                for status, answer in operation.get("responses", {}).items()
            ],
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return _template().render(
        info=document["info"],
        style=_STYLE,
        operations=operations,
        schemas={name: json.dumps(schema, indent=2, ensure_ascii=False) for name, schema in parts.items()},
    )


def _contents(part: dict[str, Any]) -> list[tuple[str, str]]:
    """Media types of a body, each with the name of its schema or empty text."""
    return [
        (kind, str(content.get("schema", {}).get("$ref", "")).rsplit("/", 1)[-1])
        for kind, content in part.get("content", {}).items()
    ]
